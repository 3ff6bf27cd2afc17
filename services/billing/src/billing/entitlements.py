"""Entitlements: whether a tenant may use a capability now."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from fleetkit.postgres import Database

from billing.places import has_place, is_limited
from billing.plans import Plan, PlanBook
from billing.store import subscriptions as store
from billing.store.subscriptions import SubscriptionRow

Capability = Literal["text", "voice", "video", "knowledge"]


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A decision; `reason` is "" when allowed. `plan_id` is the plan that decided."""

    allowed: bool
    reason: str
    plan_id: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be used, and the conversation it is for (None for a new one).

    `message_id`: the answer that a place of the allowance is to be held for.
    """

    capability: Capability
    conversation_id: UUID | None = None
    message_id: UUID | None = None


async def check_entitlement(
    db: Database, plans: PlanBook, tenant_id: UUID, wanted: Wanted, default_plan: str
) -> Entitlement:
    """Decides from the tenant's plan, the state of its subscription, and what it used.

    A tenant whose subscription is not there yet (its sign-up is seconds old) is treated as on
    the default plan. What is used is what events told up to now, and what is held for answers
    that are being written.
    """
    row = await store.read_subscription(db, tenant_id)
    plan = plans.get(row.plan_id if row else default_plan)
    made = decide(row, plan, wanted.capability)
    if made.allowed and wanted.capability == "text" and is_limited(row, plan):
        async with db.tenant(tenant_id) as conn:
            has = await has_place(
                conn,
                row,
                plan,
                tenant_id,
                wanted.conversation_id,
                wanted.message_id,
                conn.now(),
            )
        if not has:
            return Entitlement(False, "USAGE_LIMIT", plan.plan_id)
    return made


def decide(row: SubscriptionRow | None, plan: Plan, capability: Capability) -> Entitlement:
    """The plan's rule: a canceled subscription allows nothing, one without minutes no voice, video.

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
