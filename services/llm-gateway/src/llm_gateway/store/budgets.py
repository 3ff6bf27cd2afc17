"""SQL of llm-gateway: budgets and their windows. How calls are counted stands in migration 0002."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

# The key of the lock that `reserve_call` and `settle_call` share.
_LOCK = 72_617_003


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """A row of `budget`."""

    budget_id: UUID
    tenant_id: UUID
    level: str
    target_id: UUID | None
    period: str
    limit_nanos: int
    hard: bool
    time_zone: str
    create_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRow:
    """A row of `budget_window`."""

    window_id: UUID
    budget_id: UUID
    target_id: UUID
    start_date: date
    spent_nanos: int
    reserved_nanos: int
    warned_percent: int
    refuse_time: datetime | None


async def lock_budgets(conn: FleetConnection, tenant_id: UUID) -> None:
    """Waits until no call of the tenant is just being reserved or settled, and keeps out others."""
    await conn.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, str(tenant_id)])


async def list_budgets(conn: FleetConnection, tenant_id: UUID) -> list[BudgetRow]:
    """All budgets, oldest first."""
    async with conn.cursor(row_factory=class_row(BudgetRow)) as cursor:
        await cursor.execute(
            "select budget_id, tenant_id, level, target_id, period, limit_nanos, hard, time_zone,"
            "  create_time"
            " from budget where tenant_id = %s order by create_time, budget_id",
            [tenant_id],
        )
        return await cursor.fetchall()


async def find_budget(conn: FleetConnection, tenant_id: UUID, budget_id: UUID) -> BudgetRow | None:
    """A budget."""
    async with conn.cursor(row_factory=class_row(BudgetRow)) as cursor:
        await cursor.execute(
            "select budget_id, tenant_id, level, target_id, period, limit_nanos, hard, time_zone,"
            "  create_time"
            " from budget where tenant_id = %s and budget_id = %s",
            [tenant_id, budget_id],
        )
        return await cursor.fetchone()


async def insert_budget(conn: FleetConnection, row: BudgetRow) -> bool:
    """Adds a budget that counts from now on; False when there is one of its kind."""
    added = await conn.execute(
        "insert into budget (budget_id, tenant_id, level, target_id, period, limit_nanos, hard,"
        "  time_zone, create_time, count_time)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
        [
            row.budget_id,
            row.tenant_id,
            row.level,
            row.target_id,
            row.period,
            row.limit_nanos,
            row.hard,
            row.time_zone,
            row.create_time,
            row.create_time,
        ],
    )
    return added.rowcount == 1


async def update_budget(conn: FleetConnection, row: BudgetRow) -> bool:
    """Changes limit and hardness; False when another is the same then.

    Warnings beyond what is spent of the limit come again.
    """
    updated = await conn.execute(
        "update budget b set limit_nanos = %(limit)s, hard = %(hard)s"
        " where b.tenant_id = %(tenant_id)s and b.budget_id = %(budget_id)s and not exists ("
        "  select from budget o where o.tenant_id = b.tenant_id and o.budget_id <> b.budget_id"
        "   and o.level = b.level and o.target_id is not distinct from b.target_id"
        "   and o.period = b.period and o.hard = %(hard)s)",
        {
            "limit": row.limit_nanos,
            "hard": row.hard,
            "tenant_id": row.tenant_id,
            "budget_id": row.budget_id,
        },
    )
    if updated.rowcount == 0:
        return False
    await conn.execute(
        "update budget_window set warned_percent = least(warned_percent,"
        "  case when spent_nanos >= %(limit)s then 100"
        "   when spent_nanos * 10 >= %(limit)s::bigint * 9 then 90"
        "   when spent_nanos * 10 >= %(limit)s::bigint * 8 then 80 else 0 end), refuse_time = null"
        " where tenant_id = %(tenant_id)s and budget_id = %(budget_id)s",
        {"limit": row.limit_nanos, "tenant_id": row.tenant_id, "budget_id": row.budget_id},
    )
    return True


async def delete_budget(conn: FleetConnection, tenant_id: UUID, budget_id: UUID) -> bool:
    """Removes a budget and its windows; False when there is none."""
    deleted = await conn.execute(
        "delete from budget where tenant_id = %s and budget_id = %s", [tenant_id, budget_id]
    )
    return deleted.rowcount == 1


async def find_time_zone(conn: FleetConnection, tenant_id: UUID) -> str:
    """The tenant's time zone; UTC until it is set."""
    found = await conn.execute(
        "select time_zone from budget_setting where tenant_id = %s", [tenant_id]
    )
    row = await found.fetchone()
    return row[0] if row else "UTC"


async def knows_zone(conn: FleetConnection, time_zone: str) -> bool:
    """Whether the database knows a time zone by this name."""
    found = await conn.execute("select from pg_timezone_names where name = %s", [time_zone])
    return found.rowcount == 1


async def set_time_zone(
    conn: FleetConnection, tenant_id: UUID, time_zone: str, now: datetime
) -> None:
    """Changes the tenant's time zone; windows of the new one look into the ledger first."""
    await conn.execute(
        "insert into budget_setting (tenant_id, time_zone) values (%s, %s)"
        " on conflict (tenant_id) do update set time_zone = excluded.time_zone",
        [tenant_id, time_zone],
    )
    await conn.execute(
        "update budget set time_zone = %(zone)s, count_time = %(now)s"
        " where tenant_id = %(tenant_id)s and time_zone <> %(zone)s",
        {"zone": time_zone, "now": now, "tenant_id": tenant_id},
    )


async def open_window(
    conn: FleetConnection, tenant_id: UUID, budget_id: UUID, now: datetime
) -> None:
    """Makes the current window of a budget of one target, unless it is there."""
    await conn.execute(
        "select budget_open_window(b, coalesce(b.target_id, b.tenant_id),"
        "  budget_start(%s, b.time_zone, b.period))"
        " from budget b where b.tenant_id = %s and b.budget_id = %s",
        [now, tenant_id, budget_id],
    )


async def current_windows(
    conn: FleetConnection, tenant_id: UUID, budget_id: UUID, now: datetime, limit: int
) -> tuple[list[WindowRow], int]:
    """The current windows of a budget, most spent first, and how many there are."""
    parameters = {"tenant_id": tenant_id, "budget_id": budget_id, "now": now, "limit": limit}
    async with conn.cursor(row_factory=class_row(WindowRow)) as cursor:
        await cursor.execute(
            "select w.window_id, w.budget_id, w.target_id, w.start_date, w.spent_nanos,"
            "  w.reserved_nanos, w.warned_percent, w.refuse_time"
            " from budget_window w join budget b using (budget_id)"
            " where w.tenant_id = %(tenant_id)s and w.budget_id = %(budget_id)s"
            "  and w.start_date = budget_start(%(now)s, b.time_zone, b.period)"
            " order by w.spent_nanos desc, w.window_id limit %(limit)s",
            parameters,
        )
        rows = await cursor.fetchall()
    if len(rows) < limit:
        return rows, len(rows)
    counted = await conn.execute(
        "select count(*) from budget_window w join budget b using (budget_id)"
        " where w.tenant_id = %(tenant_id)s and w.budget_id = %(budget_id)s"
        "  and w.start_date = budget_start(%(now)s, b.time_zone, b.period)",
        parameters,
    )
    row = await counted.fetchone()
    return rows, row[0] if row else 0


async def find_window(conn: FleetConnection, tenant_id: UUID, window_id: UUID) -> WindowRow | None:
    """A window as it is, locked."""
    async with conn.cursor(row_factory=class_row(WindowRow)) as cursor:
        await cursor.execute(
            "select window_id, budget_id, target_id, start_date, spent_nanos, reserved_nanos,"
            "  warned_percent, refuse_time"
            " from budget_window where tenant_id = %s and window_id = %s for update",
            [tenant_id, window_id],
        )
        return await cursor.fetchone()


async def due_windows(conn: FleetConnection, tenant_id: UUID, now: datetime) -> list[UUID]:
    """The windows of today and this month whose next warning is due: at 80, 90 and 100 %."""
    found = await conn.execute(
        "select w.window_id from budget_window w join budget b using (tenant_id, budget_id)"
        " where w.tenant_id = %(tenant_id)s"
        "  and w.start_date = budget_start(%(now)s, b.time_zone, b.period)"
        "  and w.warned_percent < 100 and w.spent_nanos * 10 >= b.limit_nanos"
        "   * case w.warned_percent when 0 then 8 when 80 then 9 else 10 end",
        {"tenant_id": tenant_id, "now": now},
    )
    return [window_id for (window_id,) in await found.fetchall()]


async def mark_warned(
    conn: FleetConnection, tenant_id: UUID, window_id: UUID, percent: int
) -> None:
    """Notes the highest warning given."""
    await conn.execute(
        "update budget_window set warned_percent = %s where tenant_id = %s and window_id = %s",
        [percent, tenant_id, window_id],
    )


async def mark_refused(
    conn: FleetConnection, tenant_id: UUID, window_id: UUID, time: datetime
) -> None:
    """Notes that a refusal was told of."""
    await conn.execute(
        "update budget_window set refuse_time = %s where tenant_id = %s and window_id = %s",
        [time, tenant_id, window_id],
    )


async def recount(conn: FleetConnection, tenant_id: UUID, since: date) -> int:
    """Derives the windows that began since a day from the ledger again; returns how many."""
    counted = await conn.execute(
        "select budget_recount(window_id) from budget_window"
        " where tenant_id = %s and start_date >= %s",
        [tenant_id, since],
    )
    return counted.rowcount


async def forget_windows(conn: FleetConnection, tenant_id: UUID, before: date) -> int:
    """Deletes windows that began before a day and hold no open call; returns how many."""
    deleted = await conn.execute(
        "delete from budget_window where tenant_id = %s and start_date < %s and reserved_nanos = 0",
        [tenant_id, before],
    )
    return deleted.rowcount
