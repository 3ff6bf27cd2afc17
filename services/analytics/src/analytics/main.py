"""Composes analytics."""

from datetime import timedelta
from functools import partial

from fleetdesk.analytics.v1.analytics_service_pb2_grpc import add_AnalyticsServiceServicer_to_server
from fleetkit.service import Runtime, cli

from analytics.api import AnalyticsApi
from analytics.caching_alerts import watch_all
from analytics.config import Settings
from analytics.erasure import ERASURE
from analytics.events import HANDLERS
from analytics.hours import refresh_all
from analytics.rebuild import check_rebuild, rebuild

_EVERY = timedelta(minutes=15)


def build(rt: Runtime) -> None:
    """Adds the RPCs, the event handlers, the periodic jobs, `rebuild` and `check-rebuild`."""
    rt.server.add(add_AnalyticsServiceServicer_to_server, AnalyticsApi(rt.db))
    rt.consume(HANDLERS)
    rt.erase(ERASURE)
    rt.schedule("hours", _EVERY, partial(refresh_all, rt.db))
    rt.schedule("watch-caching", _EVERY, partial(watch_all, rt.db, rt.clock))
    rt.command("rebuild", partial(rebuild, rt.db))
    rt.command("check-rebuild", partial(check_rebuild, rt.db))


def main() -> None:
    """Runs the command line."""
    cli(Settings, build, "analytics")
