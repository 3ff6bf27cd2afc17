"""A conversation service between scripted neighbours, and a visitor to talk to it."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from fakes.neighbours import FakeNeighbours, completed, passage, quote
from fleetdesk.conversation.v1 import agent_service_pb2 as agent_service
from fleetdesk.conversation.v1 import conversation_service_pb2 as service
from fleetdesk.conversation.v1.agent_service_pb2_grpc import AgentServiceStub
from fleetdesk.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub
from harness.conversing import Visitor, config
from harness.services import Running

RESET = "Hold the reset button for ten seconds. The light turns amber. Then let go of it."


@pytest.fixture
async def neighbours(keys_dir) -> AsyncIterator[FakeNeighbours]:
    """The four neighbours; they know how to reset the router and write one cited sentence."""
    fakes = FakeNeighbours(keys_dir)
    found = passage("Reset the router", RESET)
    fakes.retrieval.results = [found]
    answer = "Hold the reset button for ten seconds."
    fakes.llm.script = (
        "Hold the reset ",
        "button for ten seconds.",
        quote(found, answer, answer),
        completed(),
    )
    await fakes.start()
    yield fakes
    await fakes.stop()


@pytest.fixture
async def start(fleet_service, neighbours) -> AsyncIterator[Callable[..., Any]]:
    """`await start(**settings)` starts a conversation service between the neighbours."""
    started: list[Running] = []

    async def make(**settings: Any) -> Running:
        running = await fleet_service("conversation", **{**neighbours.settings, **settings})
        started.append(running)
        return running

    yield make
    for running in reversed(started):
        await running.stop()


@pytest.fixture
async def running(start) -> Running:
    """A conversation service."""
    return await start()


@pytest.fixture
def agents(running) -> AgentServiceStub:
    return running.stub(AgentServiceStub, caller="gateway")


@pytest.fixture
def conversations(running) -> ConversationServiceStub:
    return running.stub(ConversationServiceStub, caller="gateway")


@pytest.fixture
def arrive(as_identity, as_background, tenant_id) -> Callable[..., Any]:
    """`await arrive(running)` is a new visitor of a new, published agent."""

    async def make(running: Running, tenant: UUID = tenant_id, **settings: Any) -> Visitor:
        agents = running.stub(AgentServiceStub, caller="gateway")
        with as_identity(tenant, role="admin"):
            agent = (
                await agents.CreateAgent(
                    agent_service.CreateAgentRequest(config=config(**settings), publish=True)
                )
            ).agent
        conversations = running.stub(ConversationServiceStub, caller="gateway")
        with as_background(tenant):
            begun = (
                await conversations.CreateConversation(
                    service.CreateConversationRequest(
                        request_id=str(uuid4()), agent_id=agent.agent_id
                    )
                )
            ).conversation
        return Visitor(
            running, tenant, agent.agent_id, begun.conversation_id, begun.visitor_id, as_identity
        )

    return make


@pytest.fixture
async def visitor(arrive, running) -> Visitor:
    """A visitor with an empty conversation."""
    return await arrive(running)
