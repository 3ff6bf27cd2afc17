"""Composes billing."""

from fleetdesk.billing.v1.billing_service_pb2_grpc import add_BillingServiceServicer_to_server
from fleetkit.service import Runtime, cli

from billing.api import BillingApi
from billing.config import Settings
from billing.events import HANDLERS
from billing.plans import load_plans


def build(rt: Runtime) -> None:
    """Adds the RPCs and the event handlers; NotFound when the default plan does not exist."""
    plans = load_plans()
    plans.get(rt.settings.default_plan)
    api = BillingApi(rt.db, plans, rt.settings.default_plan)
    rt.server.add(add_BillingServiceServicer_to_server, api)
    rt.consume(HANDLERS)


def main() -> None:
    """Runs the command line."""
    cli(Settings, build, "billing")
