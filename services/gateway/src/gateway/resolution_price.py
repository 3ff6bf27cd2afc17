"""What a resolution is sold at, to compare the cost of an answer with."""

from fleetdesk.billing.v1.billing_service_pb2 import GetSubscriptionRequest, ListPlansRequest

from gateway.clients import Clients, call


async def resolution_nanos(clients: Clients) -> int:
    """The price on the tenant's plan; where that sells none, the lowest of the public plans.

    0 when no plan sells any.
    """
    own = await call(clients.billing.GetSubscription, GetSubscriptionRequest())
    if own.plan.resolution_overage_nanos > 0:
        return own.plan.resolution_overage_nanos
    offered = await call(clients.billing.ListPlans, ListPlansRequest())
    prices = [plan.resolution_overage_nanos for plan in offered.plans if plan.public]
    return min((price for price in prices if price > 0), default=0)
