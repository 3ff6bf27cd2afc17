"""Sums by the hour: derived anew where facts changed, and the parts that a period is read in."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from fleetkit.postgres import Database, known_tenants
from fleetkit.postgres.connection import FleetConnection

from analytics.store import hours as store
from analytics.store.hours import HourDifferenceRow, Parts, Spans

HOUR = timedelta(hours=1)
_AT_ONCE = 48
_DAYS_AT_ONCE = timedelta(days=2)


def parts(tenant_id: UUID, start: datetime, end: datetime) -> Parts:
    """The parts of a period, end exclusive."""
    first, last = _floor(start + HOUR - timedelta(microseconds=1)), _floor(end)
    if first >= last:
        return Parts(first, first, Spans(tenant_id, [start], [end]))
    edges = [(start, first), (last, end)]
    given = [(begin, until) for begin, until in edges if begin < until]
    return Parts(first, last, Spans(tenant_id, [b for b, _ in given], [u for _, u in given]))


async def refresh(conn: FleetConnection, tenant_id: UUID) -> None:
    """Derives the tenant's marked hours anew, in the transaction of `conn`: before they are read.

    Facts that are committed later leave marks that are seen later.
    """
    if not await store.has_marks(conn, tenant_id):
        return
    await store.lock_hours(conn, tenant_id)
    while hours := await store.take_marks(conn, tenant_id, _AT_ONCE):
        await store.derive(conn, Spans(tenant_id, hours, [hour + HOUR for hour in hours]))


async def refresh_all(db: Database) -> None:
    """Derives every tenant's marked hours anew, so that nobody has to wait for many."""
    after: UUID | None = None
    while tenants := await known_tenants(db, after):
        for tenant_id in tenants:
            async with db.tenant(tenant_id) as conn:
                await refresh(conn, tenant_id)
        after = tenants[-1]


async def rebuild_hours(db: Database, tenant_id: UUID) -> None:
    """Derives all of a tenant's hours, a few days in each transaction."""
    async for spans in _all_spans(db, tenant_id):
        async with db.tenant(tenant_id) as conn:
            await store.lock_hours(conn, tenant_id)
            await store.derive(conn, spans)


async def wrong_hours(db: Database, tenant_id: UUID) -> list[HourDifferenceRow]:
    """The tenant's sums that are not what its facts say, where no mark says so."""
    found: list[HourDifferenceRow] = []
    async for spans in _all_spans(db, tenant_id):
        async with db.tenant(tenant_id) as conn:
            await refresh(conn, tenant_id)
            found += await store.differences(conn, spans)
    return found


async def _all_spans(db: Database, tenant_id: UUID) -> AsyncIterator[Spans]:
    async with db.tenant(tenant_id) as conn:
        known = await store.known_span(conn, tenant_id)
    if known is None:
        return
    for start in _steps(*known):
        yield Spans(tenant_id, [start], [start + _DAYS_AT_ONCE])


def _steps(start: datetime, last: datetime) -> Iterator[datetime]:
    while start <= last:
        yield start
        start += _DAYS_AT_ONCE


def _floor(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
