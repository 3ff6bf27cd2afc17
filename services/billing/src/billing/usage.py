"""Usage: what a tenant used, each unit once, and what of its allowance that is."""

import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.errors import FailedPrecondition
from fleetkit.postgres import Database, known_tenants
from fleetkit.postgres.connection import FleetConnection

from billing.periods import Period, calendar_month, period_at
from billing.plans import UNLIMITED, Plan, PlanBook
from billing.store import subscriptions
from billing.store import usage as store
from billing.store.subscriptions import SubscriptionRow
from billing.store.usage import LedgerRow


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used in a period; the allowance is the plan's, UNLIMITED (−1) for no limit."""

    period: Period
    plan: Plan
    answered_conversations: int
    allowance: int

    @property
    def overage(self) -> int:
        """What is above the allowance."""
        if self.allowance == UNLIMITED:
            return 0
        return max(self.answered_conversations - self.allowance, 0)

    @property
    def share_used_millis(self) -> int:
        """What is used of the allowance, in thousandths, rounded down; 0 when it is unlimited."""
        if self.allowance == UNLIMITED:
            return 0
        return self.answered_conversations * 1000 // max(self.allowance, 1)


async def record_answers(conn: FleetConnection, rows: Sequence[LedgerRow]) -> None:
    """Writes answered messages of a tenant on the ledger and counts their conversations.

    In the transaction of `conn`. A message that is on the ledger changes nothing; one that is
    earlier than the conversation's first moves the conversation to its time.
    """
    if not rows:
        return
    added = await store.insert_ledger(conn, rows)
    first: dict[UUID, LedgerRow] = {}
    for row in sorted(rows, key=lambda row: (row.occur_time, row.event_id)):
        if row.event_id in added:
            first.setdefault(row.conversation_id, row)
    await store.count_conversations(conn, list(first.values()))


async def get_usage(
    db: Database, plans: PlanBook, tenant_id: UUID, default_plan: str, time: datetime
) -> Usage:
    """The usage of the period that includes `time`."""
    async with db.tenant(tenant_id) as conn:
        row = await subscriptions.find_subscription(conn, tenant_id)
        plan = plans.get(row.plan_id if row else default_plan)
        period = period_of(row, time)
        used = await store.conversations_counted(
            conn, tenant_id, period.start_time, period.end_time
        )
    return Usage(period, plan, used, allowance_of(plan, row.seats if row else 1))


def allowance_of(plan: Plan, seats: int) -> int:
    """Answered conversations included in a month, pooled over the seats; −1 for no limit."""
    if UNLIMITED in (plan.resolutions_per_seat, plan.resolutions_per_tenant):
        return UNLIMITED
    return plan.resolutions_per_seat * seats + plan.resolutions_per_tenant


def period_of(row: SubscriptionRow | None, time: datetime) -> Period:
    """The tenant's period that includes `time`; calendar months before it is subscribed."""
    return calendar_month(time) if row is None else period_at(row.period_start_time, time)


async def rebuild_usage(db: Database) -> None:
    """Counts the conversations of every tenant from the ledger again; prints how many rows changed.

    Safe beside a running service.
    """
    changed = 0
    async for tenant_id in _tenants(db):
        async with db.tenant(tenant_id) as conn:
            await store.lock_counting(conn)
            changed += await store.recount(conn, tenant_id)
    sys.stdout.write(f"{changed} conversations counted differently\n")


async def check_usage(db: Database) -> None:
    """Prints each conversation that is not counted as the ledger says.

    FailedPrecondition (the command then ends with 1) when there is any.
    """
    wrong = 0
    async for tenant_id in _tenants(db):
        async with db.tenant(tenant_id) as conn:
            found = await store.miscounted(conn, tenant_id)
        for row in found:
            sys.stdout.write(
                f"tenant {tenant_id} conversation {row.conversation_id}:"
                f" counted at {row.counted_time}, on the ledger from {row.ledger_time}\n"
            )
        wrong += len(found)
    sys.stdout.write(f"{wrong} conversations are counted otherwise than the ledger says\n")
    if wrong:
        raise FailedPrecondition(f"{wrong} differ: `run rebuild-usage` counts them anew")


async def _tenants(db: Database) -> AsyncIterator[UUID]:
    after: UUID | None = None
    while tenants := await known_tenants(db, after):
        for tenant_id in tenants:
            yield tenant_id
        after = tenants[-1]
