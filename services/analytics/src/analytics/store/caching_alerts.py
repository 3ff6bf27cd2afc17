"""SQL of the alert on prompt caching."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True, kw_only=True)
class CachingAlertRow:
    """A row of `caching_alert` that is open."""

    alert_id: UUID
    begin_time: datetime
    hit_rate_millis: int


async def find_open(conn: FleetConnection, tenant_id: UUID) -> CachingAlertRow | None:
    """The tenant's open alert, if there is one."""
    async with conn.cursor(row_factory=class_row(CachingAlertRow)) as cursor:
        await cursor.execute(
            "select alert_id, begin_time, hit_rate_millis from caching_alert"
            " where tenant_id = %s and end_time is null",
            [tenant_id],
        )
        return await cursor.fetchone()


async def begin(conn: FleetConnection, tenant_id: UUID, row: CachingAlertRow) -> bool:
    """Opens an alert; False when another one is open."""
    added = await conn.execute(
        "insert into caching_alert (tenant_id, alert_id, begin_time, hit_rate_millis)"
        " values (%s, %s, %s, %s) on conflict (tenant_id) where end_time is null do nothing",
        [tenant_id, row.alert_id, row.begin_time, row.hit_rate_millis],
    )
    return added.rowcount == 1


async def end(conn: FleetConnection, tenant_id: UUID, alert_id: UUID, now: datetime) -> None:
    """Ends an alert."""
    await conn.execute(
        "update caching_alert set end_time = %s where tenant_id = %s and alert_id = %s",
        [now, tenant_id, alert_id],
    )
