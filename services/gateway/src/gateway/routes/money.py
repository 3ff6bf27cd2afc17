"""Plans, the subscription, and what of it is used."""

from typing import Annotated

from fleetdesk.billing.v1.billing_service_pb2 import (
    GetSubscriptionRequest,
    GetUsageRequest,
    ListPlansRequest,
)
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.shapes.common import TIME_SCHEMA, stamp_of
from gateway.shapes.money import Plan, PlanList, Subscription, Usage


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


@endpoint(
    "GET",
    "/v1/billing/usage",
    Access(role=Role.VIEWER, scope="billing:read"),
    tags=["Billing"],
    summary="Get what was used",
)
async def get_usage(
    request: GatewayRequest,
    time: Annotated[
        str | None,
        QueryParameter(
            name="time",
            description="A moment of the period; the current one if unset.",
            schema_extra=TIME_SCHEMA,
        ),
    ] = None,
) -> Usage:
    """What was used in a period of the subscription, and what of the allowance that is."""
    found = await call(
        parts_of(request).clients.billing.GetUsage, GetUsageRequest(time=stamp_of(time, "time"))
    )
    return Usage.of(found)


HANDLERS: list[HTTPRouteHandler] = [get_plans, get_subscription, get_usage]
