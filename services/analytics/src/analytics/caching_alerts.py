"""The alert on prompt caching: a tenant's hit rate is below the goal, and above it again.

It is judged over the last day, from so many tokens on that a quiet agent raises none. What is below
the goal has to be clearly above it before the alert ends, so that a rate that hovers tells nobody
again and again.
"""

from datetime import datetime, timedelta
from uuid import UUID

from fleetdesk.analytics.v1 import events_pb2
from fleetkit.clock import Clock
from fleetkit.events import publish
from fleetkit.ids import new_id
from fleetkit.postgres import Database, known_tenants

from analytics.savings import Caching, get_caching
from analytics.store import caching_alerts as store
from analytics.store.caching_alerts import CachingAlertRow
from analytics.targets import TARGETS

_WINDOW = timedelta(days=1)
# Some forty prompts with a prefix of 5,000 tokens.
SAMPLE_TOKENS = 200_000
_BACK_MILLIS = TARGETS.cache_hit_rate_millis + 50


async def watch_all(db: Database, clock: Clock) -> None:
    """Looks at every tenant."""
    after: UUID | None = None
    while tenants := await known_tenants(db, after):
        for tenant_id in tenants:
            await watch(db, tenant_id, clock.now())
        after = tenants[-1]


async def watch(db: Database, tenant_id: UUID, now: datetime) -> None:
    """Opens or ends the tenant's alert, and tells of it; does nothing without enough tokens."""
    found, _ = await get_caching(db, tenant_id, now - _WINDOW, now)
    if found.cached_tokens < SAMPLE_TOKENS:
        return
    async with db.tenant(tenant_id) as conn:
        alert = await store.find_open(conn, tenant_id)
        if alert is None and found.hit_rate_millis < TARGETS.cache_hit_rate_millis:
            alert = CachingAlertRow(
                alert_id=new_id(), begin_time=now, hit_rate_millis=found.hit_rate_millis
            )
            if await store.begin(conn, tenant_id, alert):
                await publish(conn, _event(events_pb2.CacheHitRateFell, alert, found), revision=1)
        elif alert is not None and found.hit_rate_millis >= _BACK_MILLIS:
            await store.end(conn, tenant_id, alert.alert_id, now)
            await publish(conn, _event(events_pb2.CacheHitRateRecovered, alert, found), revision=2)


async def open_alert(db: Database, tenant_id: UUID) -> CachingAlertRow | None:
    """The tenant's open alert, if there is one."""
    async with db.tenant(tenant_id) as conn:
        return await store.find_open(conn, tenant_id)


def _event(
    kind: type[events_pb2.CacheHitRateFell] | type[events_pb2.CacheHitRateRecovered],
    alert: CachingAlertRow,
    found: Caching,
) -> events_pb2.CacheHitRateFell | events_pb2.CacheHitRateRecovered:
    return kind(
        alert_id=str(alert.alert_id),
        hit_rate_millis=found.hit_rate_millis,
        target_hit_rate_millis=TARGETS.cache_hit_rate_millis,
        cached_tokens=found.cached_tokens,
    )
