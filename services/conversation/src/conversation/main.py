"""Composes conversation."""

from datetime import timedelta

from fleetdesk.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from fleetdesk.conversation.v1.agent_service_pb2_grpc import add_AgentServiceServicer_to_server
from fleetdesk.conversation.v1.conversation_service_pb2_grpc import (
    add_ConversationServiceServicer_to_server,
)
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetdesk.memory.v1.memory_service_pb2_grpc import MemoryServiceStub
from fleetdesk.retrieval.v1.retrieval_service_pb2_grpc import RetrievalServiceStub
from fleetkit.ids import new_id
from fleetkit.jobs import Job
from fleetkit.service import Runtime, cli

from conversation import memory_push, notices, sweeper
from conversation.api import AgentApi, ConversationApi
from conversation.closing import RECORD_TURN
from conversation.config import Settings
from conversation.deps import Deps, Neighbours
from conversation.erasure import ERASURE
from conversation.events import HANDLERS
from conversation.hub import Hub
from conversation.runner import TurnRunner

# Memory being away for hours loses nothing: about two days of tries.
_RECORD_ATTEMPTS = 600
_PRUNE_EVERY = timedelta(hours=1)


def build(rt: Runtime) -> None:
    """Adds the RPCs, the event handlers, the jobs and the loops that keep turns honest."""
    deps = Deps(
        settings=rt.settings,
        db=rt.db,
        hub=Hub(),
        neighbours=Neighbours(
            billing=BillingServiceStub(rt.clients.channel("billing")),
            memory=MemoryServiceStub(rt.clients.channel("memory")),
            retrieval=RetrievalServiceStub(rt.clients.channel("retrieval")),
            llm_gateway=LlmGatewayServiceStub(rt.clients.channel("llm-gateway")),
        ),
        owner=new_id(),
    )
    runner = TurnRunner(deps, rt.spawn)
    rt.server.add(add_AgentServiceServicer_to_server, AgentApi(deps))
    rt.server.add(add_ConversationServiceServicer_to_server, ConversationApi(deps, runner))
    rt.consume(HANDLERS)
    rt.erase(ERASURE)

    async def record_turn(job: Job) -> None:
        await memory_push.record_turn(deps, job)

    async def stop_turns() -> None:
        await runner.drain(rt.settings.shutdown_grace_s)
        deps.hub.close()

    async def prune() -> None:
        await sweeper.prune_all(deps)

    rt.run_jobs({RECORD_TURN: record_turn}, max_attempts=_RECORD_ATTEMPTS)
    rt.background(notices.listen_forever(rt.settings, deps.hub, runner.cancel), "notices")
    rt.background(runner.keep_alive_forever(), "turn_leases")
    rt.background(sweeper.sweep_forever(deps, runner.answers), "turn_sweeper")
    rt.on_drain(stop_turns)
    rt.schedule("prune", _PRUNE_EVERY, prune)


def main() -> None:
    """Runs the command line."""
    cli(Settings, build, "conversation")
