"""Entitlements: whether a tenant may use a capability now."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from fleetkit.postgres import Database

from billing import store
from billing.plans import Plan, PlanBook
from billing.store import SubscriptionRow

Capability = Literal["text", "voice", "video", "knowledge"]


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A decision; `reason` is "" when allowed. `plan_id` is the plan that decided."""

    allowed: bool
    reason: str
    plan_id: str


async def check_entitlement(
    db: Database, plans: PlanBook, tenant_id: UUID, capability: Capability, default_plan: str
) -> Entitlement:
    """Decides from the tenant's plan and the state of its subscription.

    A tenant whose subscription is not there yet (its sign-up is seconds old) is treated as on
    the default plan.
    """
    async with db.tenant(tenant_id) as conn:
        row = await store.find_subscription(conn, tenant_id)
    return decide(row, plans.get(row.plan_id if row else default_plan), capability)


def decide(row: SubscriptionRow | None, plan: Plan, capability: Capability) -> Entitlement:
    """The rule: a canceled subscription allows nothing, a plan without minutes no voice or video.

    A failed payment (past_due) is the company's to sort out, not its visitors': it still allows.
    """
    if row is not None and row.status == "canceled":
        return Entitlement(False, "SUBSCRIPTION_CANCELED", plan.plan_id)
    allowance = {
        "text": 1,
        "voice": plan.voice_minutes,
        "video": plan.video_minutes,
        "knowledge": plan.knowledge_bytes,
    }[capability]
    if allowance == 0:
        return Entitlement(False, "NOT_IN_PLAN", plan.plan_id)
    return Entitlement(True, "", plan.plan_id)
