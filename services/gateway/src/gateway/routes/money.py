"""Costs, plans and the subscription."""

from datetime import datetime
from typing import Annotated, Literal

from fleetdesk.billing.v1.billing_service_pb2 import GetSubscriptionRequest, ListPlansRequest
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2 import SummarizeUsageRequest, UsageKey
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.shapes.common import stamp_of, value_of
from gateway.shapes.money import Costs, Plan, PlanList, Subscription

GroupBy = Literal["conversation", "agent", "visitor", "model", "service", "purpose", "day"]
_KEY = "USAGE_KEY_"


@endpoint(
    "GET",
    "/v1/analytics/costs",
    Access(role=Role.VIEWER, scope="analytics:read"),
    tags=["Analytics"],
    summary="Add up what models cost",
)
async def get_costs(
    request: GatewayRequest,
    group_by: Annotated[GroupBy, QueryParameter(name="group_by", description="The groups' key.")],
    split_by: Annotated[
        GroupBy | None, QueryParameter(name="split_by", description="A second key.")
    ] = None,
    start: Annotated[
        datetime | None, QueryParameter(name="from", description="From this time, inclusive.")
    ] = None,
    end: Annotated[
        datetime | None, QueryParameter(name="to", description="Before this time.")
    ] = None,
) -> Costs:
    """Sums of the cost ledger. Times are UTC where they name no zone."""
    sums = await call(
        parts_of(request).clients.models.SummarizeUsage,
        SummarizeUsageRequest(
            group_by=value_of(UsageKey, group_by, _KEY, "group_by"),
            split_by=value_of(UsageKey, split_by, _KEY, "split_by"),
            start_time=stamp_of(start, "from"),
            end_time=stamp_of(end, "to"),
        ),
    )
    return Costs.of(sums, split=split_by is not None)


@endpoint(
    "GET",
    "/v1/billing/plans",
    Access(role=Role.VIEWER, scope="billing:read", anonymous=True, limit="public"),
    tags=["Billing"],
    summary="List plans",
)
async def get_plans(request: GatewayRequest) -> PlanList:
    """The public plans, cheapest first."""
    found = await call(parts_of(request).clients.billing.ListPlans, ListPlansRequest())
    return PlanList([Plan.of(plan) for plan in found.plans if plan.public])


@endpoint(
    "GET",
    "/v1/billing/subscription",
    Access(role=Role.VIEWER, scope="billing:read"),
    tags=["Billing"],
    summary="Get the subscription",
)
async def get_subscription(request: GatewayRequest) -> Subscription:
    """The tenant's subscription and its plan."""
    found = await call(parts_of(request).clients.billing.GetSubscription, GetSubscriptionRequest())
    return Subscription.of(found.subscription, found.plan)


HANDLERS: list[HTTPRouteHandler] = [get_costs, get_plans, get_subscription]
