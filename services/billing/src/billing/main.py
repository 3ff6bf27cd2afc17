"""Composes billing."""

from functools import partial

from fleetdesk.billing.v1.billing_service_pb2_grpc import add_BillingServiceServicer_to_server
from fleetkit.service import Runtime, cli

from billing.api import BillingApi
from billing.config import Settings
from billing.erasure import ERASURE
from billing.events import HANDLERS
from billing.plans import load_plans
from billing.usage import check_usage, rebuild_usage


def build(rt: Runtime) -> None:
    """Adds the RPCs, the event handlers, and the commands `rebuild-usage` and `check-usage`.

    NotFound when the default plan does not exist.
    """
    plans = load_plans()
    plans.get(rt.settings.default_plan)
    api = BillingApi(rt.db, rt.clock, plans, rt.settings.default_plan)
    rt.server.add(add_BillingServiceServicer_to_server, api)
    rt.consume(HANDLERS)
    rt.erase(ERASURE)
    rt.command("rebuild-usage", partial(rebuild_usage, rt.db))
    rt.command("check-usage", partial(check_usage, rt.db))


def main() -> None:
    """Runs the command line."""
    cli(Settings, build, "billing")
