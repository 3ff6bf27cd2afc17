"""SQL of the subscriptions."""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from fleetkit.postgres import Database, FleetConnection
from psycopg.rows import class_row

_SELECT: LiteralString = (
    "select tenant_id, plan_id, seats, status, period_start_time, period_end_time, revision"
    " from subscription "
)


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A row of `subscription`."""

    tenant_id: UUID
    plan_id: str
    seats: int
    status: str
    period_start_time: datetime
    period_end_time: datetime
    revision: int


async def find_subscription(conn: FleetConnection, tenant_id: UUID) -> SubscriptionRow | None:
    """The tenant's subscription, if there is one."""
    async with conn.cursor(row_factory=class_row(SubscriptionRow)) as cursor:
        await cursor.execute(
            _SELECT + "where tenant_id = %s",
            [tenant_id],
        )
        return await cursor.fetchone()


async def read_subscription(db: Database, tenant_id: UUID) -> SubscriptionRow | None:
    """The same by itself, in one round trip."""
    rows = await db.read(
        tenant_id,
        class_row(SubscriptionRow),
        _SELECT + "where tenant_id = tenant.id",
        {},
    )
    return rows[0] if rows else None


async def insert_subscription(conn: FleetConnection, row: SubscriptionRow) -> bool:
    """Adds the subscription; False, changing nothing, when the tenant has one."""
    inserted = await conn.execute(
        "insert into subscription"
        " (tenant_id, plan_id, seats, status, period_start_time, period_end_time, revision)"
        " values (%s, %s, %s, %s, %s, %s, %s) on conflict (tenant_id) do nothing",
        [
            row.tenant_id,
            row.plan_id,
            row.seats,
            row.status,
            row.period_start_time,
            row.period_end_time,
            row.revision,
        ],
    )
    return inserted.rowcount == 1
