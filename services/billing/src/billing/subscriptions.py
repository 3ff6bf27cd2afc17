"""Subscriptions: which plan a tenant is on, and for which period."""

from dataclasses import replace
from uuid import UUID

from fleetdesk.billing.v1 import events_pb2
from fleetkit.errors import NotFound
from fleetkit.events import publish
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection

from billing.periods import months_after, period_at
from billing.plans import Plan, PlanBook
from billing.store import subscriptions as store
from billing.store.subscriptions import SubscriptionRow


async def ensure_subscription(
    conn: FleetConnection, plans: PlanBook, tenant_id: UUID, plan_id: str
) -> SubscriptionRow:
    """Subscribes the tenant to the plan unless it has a subscription; returns the one it has.

    In the transaction of `conn`; publishes SubscriptionCreated for a new one. NotFound for an
    unknown plan.
    """
    plan = plans.get(plan_id)
    start = conn.now()
    new = SubscriptionRow(
        tenant_id=tenant_id,
        plan_id=plan.plan_id,
        seats=1,
        status="active",
        period_start_time=start,
        period_end_time=months_after(start, 1),
        revision=1,
    )
    if not await store.insert_subscription(conn, new):
        return await _existing(conn, tenant_id)
    event = events_pb2.SubscriptionCreated(plan_id=plan.plan_id)
    await publish(conn, event, revision=new.revision)
    return new


async def get_subscription(
    db: Database, plans: PlanBook, tenant_id: UUID
) -> tuple[SubscriptionRow, Plan]:
    """The tenant's subscription, in its current period, and its plan; NotFound before there is one.

    The row keeps the first period; the later ones follow from it.
    """
    async with db.tenant(tenant_id) as conn:
        row = await _existing(conn, tenant_id)
        period = period_at(row.period_start_time, conn.now())
    current = replace(row, period_start_time=period.start_time, period_end_time=period.end_time)
    return current, plans.get(row.plan_id)


async def _existing(conn: FleetConnection, tenant_id: UUID) -> SubscriptionRow:
    row = await store.find_subscription(conn, tenant_id)
    if row is None:
        raise NotFound("the tenant has no subscription yet", reason="NO_SUBSCRIPTION")
    return row
