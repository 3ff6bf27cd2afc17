"""Bodies of costs, plans and subscriptions. Amounts are integer nano-dollars."""

from datetime import datetime

from fleetdesk.billing.v1 import plan_pb2
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2
from msgspec import Struct

from gateway.shapes.common import label_of, time_of


class CostGroup(Struct, frozen=True):
    """A sum of the ledger; `key` is empty for what has none (ingest serves no conversation)."""

    key: str
    amount_nanos: int
    saved_nanos: int
    unconfirmed_nanos: int
    split_key: str | None = None


class Costs(Struct, frozen=True):
    """Sums of the ledger, largest first; by day in order."""

    total_nanos: int
    groups: list[CostGroup]

    @classmethod
    def of(cls, sums: llm_gateway_service_pb2.SummarizeUsageResponse, *, split: bool) -> "Costs":
        """From the proto."""
        groups = [
            CostGroup(
                group.key,
                group.amount_nanos,
                group.saved_nanos,
                group.unconfirmed_nanos,
                group.split_key if split else None,
            )
            for group in sums.groups
        ]
        return cls(sums.total_nanos, groups)


class Plan(Struct, frozen=True):
    """What can be subscribed to. −1 means unlimited; as a price, that the plan stops there."""

    plan_id: str
    display_name: str
    seat_month_nanos: int
    max_seats: int
    resolutions_per_seat: int
    voice_minutes: int
    video_minutes: int
    knowledge_bytes: int
    api_calls_per_hour: int
    resolution_overage_nanos: int
    voice_minute_overage_nanos: int
    video_minute_overage_nanos: int
    gigabyte_month_overage_nanos: int
    branding: bool

    @classmethod
    def of(cls, plan: plan_pb2.Plan) -> "Plan":
        """From the proto."""
        return cls(**{name: getattr(plan, name) for name in cls.__struct_fields__})


class PlanList(Struct, frozen=True):
    """Public plans, cheapest first."""

    items: list[Plan]


class Subscription(Struct, frozen=True):
    """A tenant's subscription and its plan."""

    plan_id: str
    seats: int
    status: str | None
    period_start_time: datetime
    period_end_time: datetime
    plan: Plan

    @classmethod
    def of(cls, subscription: plan_pb2.Subscription, plan: plan_pb2.Plan) -> "Subscription":
        """From the protos."""
        return cls(
            plan_id=subscription.plan_id,
            seats=subscription.seats,
            status=label_of(
                plan_pb2.SubscriptionStatus, subscription.status, "SUBSCRIPTION_STATUS_"
            ),
            period_start_time=time_of(subscription.period_start_time),
            period_end_time=time_of(subscription.period_end_time),
            plan=Plan.of(plan),
        )
