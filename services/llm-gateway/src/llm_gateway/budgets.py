"""Budgets: what may be spent on models, by whom, in a day or a month.

Calls are counted where they are reserved and settled (`ledger`); here is what people define and
what is told of it.
"""

import calendar
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from fleetdesk.llm_gateway.v1 import events_pb2
from fleetkit.clock import Clock
from fleetkit.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from fleetkit.events import publish
from fleetkit.ids import new_id
from fleetkit.postgres import Database, FleetConnection, remember_tenant
from fleetkit.postgres.tenants import known_tenants
from fleetkit.rpc.fields import timestamp

from llm_gateway.pricing import usd
from llm_gateway.store import budgets as store
from llm_gateway.store.budgets import BudgetRow, WindowRow
from llm_gateway.store.ledger import CallRow
from llm_gateway.wire.rows import to_budget

LEVELS = ("tenant", "agent", "conversation", "visitor")
PERIODS = ("day", "month")
_WARNINGS = (80, 90, 100)
_MOST_BUDGETS = 50
_MOST_NANOS = 10**17
_MOST_WINDOWS = 20
# Windows are kept for the month before this one, and some days for whoever is late.
_KEEP_DAYS = 70


@dataclass(frozen=True, slots=True)
class Window:
    """A window with its borders, and what will be spent by its end at its rate so far."""

    row: WindowRow
    start_time: datetime
    end_time: datetime
    forecast_nanos: int


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """A budget with its current windows, most spent first, and how many there are."""

    budget: BudgetRow
    windows: list[Window]
    window_count: int


@dataclass(frozen=True, slots=True)
class NewBudget:
    """What to limit: see the columns of `budget`."""

    level: str
    target_id: UUID | None
    period: str
    limit_nanos: int
    hard: bool
    budget_id: UUID = field(default_factory=new_id)


async def list_budgets(
    db: Database, clock: Clock, tenant_id: UUID
) -> tuple[list[BudgetStatus], str]:
    """All budgets, oldest first, and the tenant's time zone."""
    now = clock.now()
    async with db.tenant(tenant_id) as conn:
        time_zone = await store.find_time_zone(conn, tenant_id)
        items: list[BudgetStatus] = []
        for budget in await store.list_budgets(conn, tenant_id):
            if budget.target_id or budget.level == "tenant":
                await store.open_window(conn, tenant_id, budget.budget_id, now)
            rows, count = await store.current_windows(
                conn, tenant_id, budget.budget_id, now, _MOST_WINDOWS
            )
            items.append(BudgetStatus(budget, [_window(budget, row, now) for row in rows], count))
    return items, time_zone


async def create_budget(db: Database, clock: Clock, tenant_id: UUID, new: NewBudget) -> BudgetRow:
    """Makes a budget, or returns the one with its id; what was spent in its window counts.

    AlreadyExists for a second one of its kind, FailedPrecondition beyond 50.
    """
    _check_limit(new.limit_nanos)
    if new.level == "tenant" and new.target_id is not None:
        raise InvalidArgument("a tenant's budget has no target: leave it out", field="target_id")
    async with db.tenant(tenant_id) as conn:
        await remember_tenant(conn, tenant_id)
        await store.lock_budgets(conn, tenant_id)
        made = await store.find_budget(conn, tenant_id, new.budget_id)
        if made is not None:
            return made
        if len(await store.list_budgets(conn, tenant_id)) >= _MOST_BUDGETS:
            raise FailedPrecondition(
                f"there are {_MOST_BUDGETS} budgets, the most there can be: delete one first",
                reason="TOO_MANY_BUDGETS",
            )
        row = BudgetRow(
            budget_id=new.budget_id,
            tenant_id=tenant_id,
            level=new.level,
            target_id=new.target_id,
            period=new.period,
            limit_nanos=new.limit_nanos,
            hard=new.hard,
            time_zone=await store.find_time_zone(conn, tenant_id),
            create_time=clock.now(),
        )
        if not await store.insert_budget(conn, row):
            raise AlreadyExists(
                "there is such a budget already: change its limit instead", field="level"
            )
    return row


async def update_budget(
    db: Database,
    tenant_id: UUID,
    budget_id: UUID,
    limit_nanos: int,
    hard: bool | None,
    unchanged: Mapping[str, str | UUID],
) -> BudgetRow:
    """Changes a limit, and unless it is None whether it refuses. NotFound, AlreadyExists.

    `unchanged` has columns as the caller believes them to be: InvalidArgument for one that is not.
    """
    _check_limit(limit_nanos)
    async with db.tenant(tenant_id) as conn:
        await store.lock_budgets(conn, tenant_id)
        row = await store.find_budget(conn, tenant_id, budget_id)
        if row is None:
            raise _not_found()
        for field_name, value in unchanged.items():
            if getattr(row, field_name) != value:
                raise InvalidArgument(
                    f"a budget's {field_name} does not change: delete it and make another",
                    field=field_name,
                )
        row = replace(row, limit_nanos=limit_nanos, hard=row.hard if hard is None else hard)
        if not await store.update_budget(conn, row):
            raise AlreadyExists(
                "there is a budget already that differs in nothing but its limit: change that one",
                field="hard",
            )
    return row


async def delete_budget(db: Database, tenant_id: UUID, budget_id: UUID) -> None:
    """Removes a budget. NotFound."""
    async with db.tenant(tenant_id) as conn:
        await store.lock_budgets(conn, tenant_id)
        if not await store.delete_budget(conn, tenant_id, budget_id):
            raise _not_found()


async def set_time_zone(db: Database, clock: Clock, tenant_id: UUID, time_zone: str) -> None:
    """Says where the tenant's days begin; InvalidArgument for a name that is no time zone."""
    async with db.tenant(tenant_id) as conn:
        # Windows are reckoned by the database, and their ends here: both must know it.
        known = time_zone in available_timezones() and await store.knows_zone(conn, time_zone)
        if not known:
            raise InvalidArgument(
                "time_zone is not known: use an IANA name such as Europe/Berlin", field="time_zone"
            )
        await remember_tenant(conn, tenant_id)
        await store.lock_budgets(conn, tenant_id)
        await store.set_time_zone(conn, tenant_id, time_zone, clock.now())


async def recount_all(db: Database, clock: Clock) -> int:
    """Derives the windows of the last 70 days of every tenant again; returns how many."""
    counted = 0
    async for tenant_id in _all_tenants(db):
        async with db.tenant(tenant_id) as conn:
            await store.lock_budgets(conn, tenant_id)
            counted += await store.recount(conn, tenant_id, _keep_since(clock))
    return counted


async def forget_windows(db: Database, clock: Clock) -> int:
    """Deletes every tenant's windows that began more than 70 days ago; returns how many."""
    forgotten = 0
    async for tenant_id in _all_tenants(db):
        async with db.tenant(tenant_id) as conn:
            forgotten += await store.forget_windows(conn, tenant_id, _keep_since(clock))
    return forgotten


async def left_in(db: Database, tenant_id: UUID, window_id: UUID) -> int:
    """Nano-dollars that a window has left; 0 for one that is gone."""
    async with db.tenant(tenant_id) as conn:
        found = await _window_and_budget(conn, tenant_id, window_id)
    if found is None:
        return 0
    window, budget = found
    return max(budget.limit_nanos - window.spent_nanos - window.reserved_nanos, 0)


async def refusal(
    db: Database, tenant_id: UUID, window_id: UUID, asked: CallRow
) -> ResourceExhausted:
    """The error of a call that a budget's window has no room for; tells of the window's first."""
    async with db.tenant(tenant_id) as conn:
        found = await _window_and_budget(conn, tenant_id, window_id)
        if found is None:
            return ResourceExhausted("the budget has just changed: try again", retry_after_s=0.1)
        window, budget = found
        end_time = window_end(budget, window.start_date)
        if window.refuse_time is None:
            await store.mark_refused(conn, tenant_id, window_id, conn.now())
            event = events_pb2.BudgetRefused(
                budget=to_budget(budget),
                target_id=_target(budget, window),
                start_date=str(window.start_date),
                end_time=timestamp(end_time),
                spent_nanos=window.spent_nanos,
                reserved_nanos=window.reserved_nanos,
                asked_nanos=asked.reserved_nanos,
            )
            await publish(conn, event, revision=1)
    used_nanos = window.spent_nanos + window.reserved_nanos
    return ResourceExhausted(
        f"the budget of {usd(budget.limit_nanos)} a {budget.period} for {_whom(budget)} has"
        f" {usd(max(budget.limit_nanos - used_nanos, 0))} left, and this call could cost"
        f" {usd(asked.reserved_nanos)}; it opens again at"
        f" {end_time.astimezone(ZoneInfo(budget.time_zone)):%Y-%m-%d %H:%M %Z}",
        reason="BUDGET_EXHAUSTED",
        retry_after_s=max((end_time - asked.create_time).total_seconds(), 1.0),
        details={
            "budget_id": str(budget.budget_id),
            "level": budget.level,
            "period": budget.period,
            "limit_nanos": str(budget.limit_nanos),
            "open_time": end_time.astimezone(UTC).isoformat(),
        },
    )


async def warn(db: Database, tenant_id: UUID, window_ids: Sequence[UUID]) -> None:
    """Tells of the shares that windows have reached: each of 80, 90 and 100 % once."""
    for window_id in window_ids:
        async with db.tenant(tenant_id) as conn:
            found = await _window_and_budget(conn, tenant_id, window_id)
            if found is None:
                continue
            window, budget = found
            reached = [
                percent
                for percent in _WARNINGS
                if window.warned_percent < percent
                and window.spent_nanos * 100 >= budget.limit_nanos * percent
            ]
            for percent in reached:
                event = events_pb2.BudgetWarned(
                    budget=to_budget(budget),
                    target_id=_target(budget, window),
                    start_date=str(window.start_date),
                    end_time=timestamp(window_end(budget, window.start_date)),
                    percent=percent,
                    spent_nanos=window.spent_nanos,
                )
                await publish(conn, event, revision=percent)
            if reached:
                await store.mark_warned(conn, tenant_id, window_id, reached[-1])


def window_start(budget: BudgetRow, start_date: date) -> datetime:
    """Midnight of a window's first day, UTC; the first one of two, or the moment that skips it."""
    zone = ZoneInfo(budget.time_zone)
    return datetime.combine(start_date, time.min, zone).astimezone(UTC)


def window_end(budget: BudgetRow, start_date: date) -> datetime:
    """Midnight of the first day after a window, UTC."""
    days = 1
    if budget.period == "month":
        days = calendar.monthrange(start_date.year, start_date.month)[1]
    return window_start(budget, start_date + timedelta(days=days))


def _window(budget: BudgetRow, row: WindowRow, now: datetime) -> Window:
    start, end = window_start(budget, row.start_date), window_end(budget, row.start_date)
    elapsed_s, whole_s = int((now - start).total_seconds()), int((end - start).total_seconds())
    forecast = row.spent_nanos
    if 3600 <= elapsed_s < whole_s:
        forecast = row.spent_nanos * whole_s // elapsed_s
    return Window(row, start, end, forecast)


def _check_limit(limit_nanos: int) -> None:
    if not 1 <= limit_nanos <= _MOST_NANOS:
        raise InvalidArgument(
            f"limit_nanos is 1–{_MOST_NANOS}: nano-dollars, 1,000,000,000 to the dollar",
            field="limit_nanos",
        )


async def _window_and_budget(
    conn: FleetConnection, tenant_id: UUID, window_id: UUID
) -> tuple[WindowRow, BudgetRow] | None:
    """A window, locked, with its budget; None when they are gone."""
    window = await store.find_window(conn, tenant_id, window_id)
    if window is None:
        return None
    budget = await store.find_budget(conn, tenant_id, window.budget_id)
    return (window, budget) if budget else None


def _target(budget: BudgetRow, window: WindowRow) -> str:
    return "" if budget.level == "tenant" else str(window.target_id)


def _whom(budget: BudgetRow) -> str:
    return "all model calls" if budget.level == "tenant" else f"this {budget.level}"


async def _all_tenants(db: Database) -> AsyncIterator[UUID]:
    tenants = await known_tenants(db)
    while tenants:
        for tenant_id in tenants:
            yield tenant_id
        tenants = await known_tenants(db, tenants[-1])


def _keep_since(clock: Clock) -> date:
    return (clock.now() - timedelta(days=_KEEP_DAYS)).date()


def _not_found() -> NotFound:
    return NotFound("there is no such budget", field="budget_id")
