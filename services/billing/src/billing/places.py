"""Places of a plan's allowance: whether a conversation has one, held while it is answered."""

from datetime import datetime, timedelta
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection

from billing.plans import UNLIMITED, Plan
from billing.store import reservations
from billing.store import usage as usage_store
from billing.store.subscriptions import SubscriptionRow
from billing.usage import allowance_of, period_of

# Every turn ends with an event; this long a bus may be away before its answers' places are given
# to others.
HELD_FOR = timedelta(days=1)


def is_limited(row: SubscriptionRow | None, plan: Plan) -> bool:
    """Whether a plan stops at its allowance: those that charge what is above it never do."""
    allowance = allowance_of(plan, row.seats if row else 1)
    return allowance != UNLIMITED and plan.resolution_overage_nanos < 0


async def has_place(
    conn: FleetConnection,
    row: SubscriptionRow | None,
    plan: Plan,
    tenant_id: UUID,
    conversation_id: UUID | None,
    message_id: UUID | None,
    time: datetime,
) -> bool:
    """Whether a conversation may be answered, as the allowance is not used up.

    Of a plan that is limited. A conversation that counts in this period, or has a place held, goes
    on. With a `message_id` a place is held for that answer in the transaction of `conn`, one
    tenant's decision after the other's; idempotent.
    """
    allowance = allowance_of(plan, row.seats if row else 1)
    period = period_of(row, time)
    if conversation_id is not None:
        first = await usage_store.counted_at(conn, tenant_id, conversation_id)
        if first is not None and period.includes(first):
            return True
    if message_id is not None:
        await reservations.lock_reserving(conn, tenant_id)
        await reservations.forget_expired(conn, tenant_id, time)
    taken = await reservations.places_taken(
        conn, tenant_id, period.start_time, period.end_time, time
    )
    if taken >= allowance and not await _is_held(conn, tenant_id, conversation_id, time):
        return False
    if message_id is not None and conversation_id is not None:
        await reservations.hold(conn, tenant_id, message_id, conversation_id, time + HELD_FOR)
    return True


async def _is_held(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID | None, time: datetime
) -> bool:
    if conversation_id is None:
        return False
    return await reservations.is_held(conn, tenant_id, conversation_id, time)
