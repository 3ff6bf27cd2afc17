"""BillingService: translate, call, translate."""

from datetime import datetime
from uuid import UUID

from fleetdesk.billing.v1 import billing_service_pb2 as pb
from fleetdesk.billing.v1 import plan_pb2, usage_pb2
from fleetdesk.billing.v1.billing_service_pb2_grpc import BillingServiceServicer
from fleetkit import context as call_context
from fleetkit.clock import Clock
from fleetkit.context import tenant_id
from fleetkit.errors import InvalidArgument, PermissionDenied
from fleetkit.postgres import Database
from fleetkit.rpc.fields import timestamp, to_optional_time, to_optional_uuid
from grpc.aio import ServicerContext

from billing import entitlements, subscriptions, usage
from billing.entitlements import Capability, Wanted
from billing.plans import Plan, PlanBook
from billing.store.subscriptions import SubscriptionRow
from billing.usage import Usage

_CAPABILITIES: dict[int, Capability] = {
    pb.CAPABILITY_TEXT: "text",
    pb.CAPABILITY_VOICE: "voice",
    pb.CAPABILITY_VIDEO: "video",
    pb.CAPABILITY_KNOWLEDGE: "knowledge",
}
# Where a month before and after is still in the calendar.
_FIRST_YEAR, _LAST_YEAR = 2000, 9998
_STATUSES = {
    "active": plan_pb2.SUBSCRIPTION_STATUS_ACTIVE,
    "trial": plan_pb2.SUBSCRIPTION_STATUS_TRIAL,
    "past_due": plan_pb2.SUBSCRIPTION_STATUS_PAST_DUE,
    "canceled": plan_pb2.SUBSCRIPTION_STATUS_CANCELED,
}


class BillingApi(BillingServiceServicer):
    """The RPCs of billing."""

    def __init__(self, db: Database, clock: Clock, plans: PlanBook, default_plan: str) -> None:
        self._db = db
        self._clock = clock
        self._plans = plans
        self._default_plan = default_plan

    async def ListPlans(
        self, request: pb.ListPlansRequest, context: ServicerContext
    ) -> pb.ListPlansResponse:
        return pb.ListPlansResponse(plans=[to_plan(plan) for plan in self._plans.public()])

    async def EnsureSubscription(
        self, request: pb.EnsureSubscriptionRequest, context: ServicerContext
    ) -> pb.EnsureSubscriptionResponse:
        tenant = tenant_id()
        plan_id = request.plan_id or self._default_plan
        async with self._db.tenant(tenant) as conn:
            row = await subscriptions.ensure_subscription(conn, self._plans, tenant, plan_id)
        return pb.EnsureSubscriptionResponse(subscription=to_subscription(row))

    async def GetSubscription(
        self, request: pb.GetSubscriptionRequest, context: ServicerContext
    ) -> pb.GetSubscriptionResponse:
        row, plan = await subscriptions.get_subscription(self._db, self._plans, tenant_id())
        return pb.GetSubscriptionResponse(subscription=to_subscription(row), plan=to_plan(plan))

    async def CheckEntitlement(
        self, request: pb.CheckEntitlementRequest, context: ServicerContext
    ) -> pb.CheckEntitlementResponse:
        capability = _CAPABILITIES.get(request.capability)
        if capability is None:
            raise InvalidArgument(
                "capability is not set: use text, voice, video or knowledge", field="capability"
            )
        conversation_id = to_optional_uuid(request.conversation_id, "conversation_id")
        message_id = to_optional_uuid(request.message_id, "message_id")
        if message_id is not None and conversation_id is None:
            raise InvalidArgument(
                "message_id is set: name its conversation, too", field="conversation_id"
            )
        _check_visitor(conversation_id)
        made = await entitlements.check_entitlement(
            self._db,
            self._plans,
            tenant_id(),
            Wanted(capability, conversation_id, message_id),
            self._default_plan,
        )
        return pb.CheckEntitlementResponse(
            allowed=made.allowed, reason=made.reason, plan_id=made.plan_id
        )

    async def GetUsage(
        self, request: pb.GetUsageRequest, context: ServicerContext
    ) -> pb.GetUsageResponse:
        time = _time(request) or self._clock.now()
        made = await usage.get_usage(self._db, self._plans, tenant_id(), self._default_plan, time)
        return to_usage(made)


def _check_visitor(conversation_id: UUID | None) -> None:
    """Visitors may ask for their own conversation, or without one."""
    person = call_context.current().identity
    if person is None or person.kind != "visitor" or conversation_id is None:
        return
    if conversation_id != person.conversation_id:
        raise PermissionDenied("a visitor asks for their own conversation", field="conversation_id")


def _time(request: pb.GetUsageRequest) -> datetime | None:
    time = to_optional_time(request, "time")
    if time is None:
        return None
    if not _FIRST_YEAR <= time.year <= _LAST_YEAR:
        raise InvalidArgument(f"time is in a year from {_FIRST_YEAR} to {_LAST_YEAR}", field="time")
    return time


def to_usage(made: Usage) -> pb.GetUsageResponse:
    """Usage as the proto has it."""
    unit = usage_pb2.UnitUsage(
        unit=usage_pb2.USAGE_UNIT_ANSWERED_CONVERSATION,
        quantity=made.answered_conversations,
        allowance=made.allowance,
        share_used_millis=made.share_used_millis,
        overage=made.overage,
    )
    return pb.GetUsageResponse(
        period_start_time=timestamp(made.period.start_time),
        period_end_time=timestamp(made.period.end_time),
        plan_id=made.plan.plan_id,
        units=[unit],
    )


def to_plan(plan: Plan) -> plan_pb2.Plan:
    """A plan as the proto has it."""
    return plan_pb2.Plan(
        plan_id=plan.plan_id,
        display_name=plan.display_name,
        seat_month_nanos=plan.seat_month_nanos,
        max_seats=plan.max_seats,
        resolutions_per_seat=plan.resolutions_per_seat,
        resolutions_per_tenant=plan.resolutions_per_tenant,
        voice_minutes=plan.voice_minutes,
        video_minutes=plan.video_minutes,
        knowledge_bytes=plan.knowledge_bytes,
        api_calls_per_hour=plan.api_calls_per_hour,
        resolution_overage_nanos=plan.resolution_overage_nanos,
        voice_minute_overage_nanos=plan.voice_minute_overage_nanos,
        video_minute_overage_nanos=plan.video_minute_overage_nanos,
        gigabyte_month_overage_nanos=plan.gigabyte_month_overage_nanos,
        branding=plan.branding,
        public=plan.public,
    )


def to_subscription(row: SubscriptionRow) -> plan_pb2.Subscription:
    """A subscription as the proto has it."""
    return plan_pb2.Subscription(
        tenant_id=str(row.tenant_id),
        plan_id=row.plan_id,
        seats=row.seats,
        status=_STATUSES[row.status],
        period_start_time=timestamp(row.period_start_time),
        period_end_time=timestamp(row.period_end_time),
        revision=row.revision,
    )
