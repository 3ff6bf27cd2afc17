"""vision-agent between real neighbours; only reading pictures follows a script."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from fleetdesk.conversation.v1 import agent_service_pb2 as agent_pb
from fleetdesk.conversation.v1 import conversation_service_pb2 as conversation_pb
from fleetdesk.conversation.v1.agent_service_pb2_grpc import AgentServiceStub
from fleetdesk.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub
from fleetdesk.vision_agent.v1 import vision_agent_service_pb2 as pb
from fleetdesk.vision_agent.v1.vision_agent_service_pb2_grpc import VisionAgentServiceStub
from harness.conversing import Visitor, config
from harness.services import Running

_NOWHERE = "127.0.0.1:9"


@dataclass(slots=True)
class Sharer:
    """A visitor who shares a screen."""

    vision: Running
    visitor: Visitor
    session_id: str
    number: int = 0

    async def send(self, image: bytes, number: int = 0, **fields: Any) -> pb.SubmitFrameResponse:
        self.number = number or self.number + 1
        request = pb.SubmitFrameRequest(
            conversation_id=self.visitor.conversation_id,
            session_id=self.session_id,
            frame_number=self.number,
            image=image,
            **fields,
        )
        stub = self.vision.stub(VisionAgentServiceStub, caller="gateway")
        with self.visitor.itself():
            return await stub.SubmitFrame(request)

    async def stats(self) -> pb.GetFrameStatsResponse:
        stub = self.vision.stub(VisionAgentServiceStub, caller="gateway")
        request = pb.GetFrameStatsRequest(conversation_id=self.visitor.conversation_id)
        with self.visitor.person("viewer"):
            return await stub.GetFrameStats(request)


@pytest.fixture
async def billing(fleet_service) -> Running:
    return await fleet_service("billing", default_plan="development")


@pytest.fixture
async def conversation(fleet_service, billing) -> Running:
    return await fleet_service(
        "conversation",
        billing_address=billing.address,
        memory_address=_NOWHERE,
        retrieval_address=_NOWHERE,
        llm_gateway_address=_NOWHERE,
    )


@pytest.fixture
def settings() -> dict[str, Any]:
    """Changes to vision-agent's settings."""
    return {}


@pytest.fixture
async def vision(fleet_service, billing, conversation, settings) -> Running:
    """Nothing is read here: llm-gateway is away."""
    given = {
        "billing_address": billing.address,
        "conversation_address": conversation.address,
        "llm_gateway_address": _NOWHERE,
        "min_frame_interval_ms": 0,
        "stats_interval_s": 0.1,
    }
    return await fleet_service("vision-agent", **{**given, **settings})


@pytest.fixture
def begin(conversation, as_identity, as_background, tenant_id) -> Any:
    """`await begin(**config)`: a visitor with a conversation on an agent."""

    async def begun(**changes: Any) -> Visitor:
        agents = conversation.stub(AgentServiceStub, caller="gateway")
        with as_identity(tenant_id, role="admin"):
            request = agent_pb.CreateAgentRequest(config=config(**changes), publish=True)
            agent_id = (await agents.CreateAgent(request)).agent.agent_id
        stub = conversation.stub(ConversationServiceStub, caller="gateway")
        with as_background(tenant_id):
            made = await stub.CreateConversation(
                conversation_pb.CreateConversationRequest(
                    request_id=str(uuid4()), agent_id=agent_id
                )
            )
        row = made.conversation
        return Visitor(
            conversation,
            tenant_id,
            agent_id,
            row.conversation_id,
            row.visitor_id,
            as_identity,
        )

    return begun


@pytest.fixture
def share(begin, vision) -> Any:
    """`await share(**config)`: a visitor who shares a screen, with an agent that looks at it."""

    async def shared(**changes: Any) -> Sharer:
        visitor = await begin(**{"screen_sharing": True, **changes})
        return Sharer(vision, visitor, str(uuid4()))

    return shared
