"""Bodies of costs, plans and subscriptions. Amounts are integer nano-dollars."""

from datetime import datetime

from fleetdesk.analytics.v1 import analytics_service_pb2
from fleetdesk.billing.v1 import billing_service_pb2, plan_pb2, usage_pb2
from msgspec import Struct

from gateway.shapes.common import label_of, time_of


class CostGroup(Struct, frozen=True):
    """A sum of the ledger; `key` is empty for what has none (ingest serves no conversation).

    `direct_nanos` of it went by keys of your own: their providers bill it to you.
    """

    key: str
    amount_nanos: int
    saved_nanos: int
    unconfirmed_nanos: int
    direct_nanos: int
    split_key: str | None = None


class Costs(Struct, frozen=True, omit_defaults=True):
    """Sums of the ledger, largest first; by day in order.

    Of more than 10,000 groups the smallest are left out, and said to be; `total_nanos` has them.
    """

    total_nanos: int
    groups: list[CostGroup]
    left_out_groups: int = 0
    left_out_nanos: int = 0

    @classmethod
    def of(cls, sums: analytics_service_pb2.SummarizeCostsResponse, *, split: bool) -> "Costs":
        """From the proto."""
        groups = [
            CostGroup(
                group.key,
                group.amount_nanos,
                group.saved_nanos,
                group.unconfirmed_nanos,
                group.direct_nanos,
                group.split_key if split else None,
            )
            for group in sums.groups
        ]
        return cls(sums.total_nanos, groups, sums.left_out_groups, sums.left_out_nanos)


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


class UnitUsage(Struct, frozen=True):
    """Usage of one unit. The allowance is −1 without a limit; the share then is 0."""

    unit: str | None
    quantity: int
    allowance: int
    share_used_millis: int
    overage: int

    @classmethod
    def of(cls, usage: usage_pb2.UnitUsage) -> "UnitUsage":
        """From the proto."""
        return cls(
            unit=label_of(usage_pb2.UsageUnit, usage.unit, "USAGE_UNIT_"),
            quantity=usage.quantity,
            allowance=usage.allowance,
            share_used_millis=usage.share_used_millis,
            overage=usage.overage,
        )


class Usage(Struct, frozen=True):
    """What was used in a period; its end is exclusive."""

    period_start_time: datetime
    period_end_time: datetime
    plan_id: str
    units: list[UnitUsage]

    @classmethod
    def of(cls, usage: billing_service_pb2.GetUsageResponse) -> "Usage":
        """From the proto."""
        return cls(
            period_start_time=time_of(usage.period_start_time),
            period_end_time=time_of(usage.period_end_time),
            plan_id=usage.plan_id,
            units=[UnitUsage.of(unit) for unit in usage.units],
        )
