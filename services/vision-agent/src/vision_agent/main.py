"""Composes vision-agent."""

from dataclasses import replace

import cv2
from fleetdesk.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from fleetdesk.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetdesk.vision_agent.v1.vision_agent_service_pb2_grpc import (
    add_VisionAgentServiceServicer_to_server,
)
from fleetkit import blas
from fleetkit.service import Runtime, cli

from vision_agent.api import VisionAgentApi
from vision_agent.config import Settings
from vision_agent.deps import Deps
from vision_agent.erasure import ERASURE
from vision_agent.events import HANDLERS
from vision_agent.frames.deciding import Rules
from vision_agent.frames.images import FrameLimits
from vision_agent.reading import Reading
from vision_agent.screens import Screens
from vision_agent.statistics import Statistics


def build(rt: Runtime) -> None:
    """Adds the RPCs, the event handlers, the readers of kept frames and the writer of counts.

    ValueError when the fitted file does not fit the code.
    """
    settings: Settings = rt.settings
    # Each frame has a thread already.
    cv2.setNumThreads(1)
    blas.keep_to_one_thread()
    conversation = ConversationServiceStub(rt.clients.channel("conversation"))
    statistics = Statistics(rt.db, rt.clock, settings.stats_interval_s)
    reading = Reading(
        LlmGatewayServiceStub(rt.clients.channel("llm-gateway")),
        conversation,
        statistics,
        settings.read_timeout_s,
    )
    screens = Screens(settings.max_screens, settings.max_screens_of_tenant, settings.screen_ttl_s)
    deps = Deps(
        settings=settings,
        db=rt.db,
        clock=rt.clock,
        rules=replace(Rules.load(), heartbeat_s=settings.heartbeat_s),
        limits=FrameLimits(),
        screens=screens,
        statistics=statistics,
        reading=reading,
        conversation=conversation,
        billing=BillingServiceStub(rt.clients.channel("billing")),
    )
    rt.consume(HANDLERS)
    rt.erase(ERASURE)
    rt.server.add(add_VisionAgentServiceServicer_to_server, VisionAgentApi(deps))
    for number in range(settings.readers):
        rt.background(reading.read_forever(), f"reader_{number}")
    rt.background(screens.forget_forever(), "quiet_screens")
    rt.background(statistics.write_forever(), "frame_counts")
    rt.on_drain(statistics.write)


def main() -> None:
    """Runs the command line."""
    cli(Settings, build, "vision_agent")
