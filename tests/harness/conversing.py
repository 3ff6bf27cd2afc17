"""A visitor talking to a conversation service, over a real channel."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fleetdesk.conversation.v1 import agent_pb2
from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1 import conversation_service_pb2 as service
from fleetdesk.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub

from harness.services import Running


def config(**changes: Any) -> agent_pb2.AgentConfig:
    """Settings of an agent that are fine."""
    given: dict[str, Any] = {"name": "Ada", "preset": agent_pb2.PRESET_FRIENDLY}
    return agent_pb2.AgentConfig(**{**given, **changes})


@dataclass(slots=True)
class Visitor:
    """A visitor with a conversation; `person()` acts as somebody of the tenant instead."""

    running: Running
    tenant_id: UUID
    agent_id: str
    conversation_id: str
    visitor_id: str
    as_identity: Callable[..., Any]

    @property
    def stub(self) -> ConversationServiceStub:
        return self.running.stub(ConversationServiceStub, caller="gateway")

    def itself(self, timeout_s: float = 30.0) -> Any:
        """A context in which calls carry the visitor's token."""
        return self.as_identity(
            self.tenant_id,
            kind="visitor",
            subject=self.visitor_id,
            conversation_id=UUID(self.conversation_id),
            timeout_s=timeout_s,
        )

    def person(self, role: str = "agent", subject: str | None = None) -> Any:
        """A context in which calls carry the token of a person of the tenant."""
        return self.as_identity(self.tenant_id, role=role, subject=subject)

    def on(self, running: Running) -> "Visitor":
        """The same visitor at another replica."""
        return Visitor(
            running,
            self.tenant_id,
            self.agent_id,
            self.conversation_id,
            self.visitor_id,
            self.as_identity,
        )

    async def ask(self, text: str, request_id: str = "") -> list[pb.TurnEvent]:
        """The events of a turn, from its first to its last."""
        return [event async for event in self.asking(text, request_id)]

    async def asking(self, text: str, request_id: str = "") -> AsyncIterator[pb.TurnEvent]:
        """The events of a turn as they come."""
        request = service.AnswerTurnRequest(
            request_id=request_id, conversation_id=self.conversation_id, text=text
        )
        with self.itself():
            stream = self.stub.AnswerTurn(request, timeout=20)
        async for response in stream:
            yield response.event

    async def watching(
        self, after_position: int = 0, after_event: str = "", timeout_s: float = 20
    ) -> AsyncIterator[pb.TurnEvent]:
        """The events of the conversation as they come."""
        request = service.WatchConversationRequest(
            conversation_id=self.conversation_id,
            after_position=after_position,
            after_event=after_event,
        )
        with self.itself():
            stream = self.stub.WatchConversation(request, timeout=timeout_s)
        async for response in stream:
            yield response.event

    async def read(self, *, with_receipts: bool = False) -> service.GetConversationResponse:
        with self.itself():
            return await self.stub.GetConversation(
                service.GetConversationRequest(
                    conversation_id=self.conversation_id, with_receipts=with_receipts
                )
            )

    async def answer(self) -> pb.Message:
        """The last message of the agent."""
        found = await self.read()
        return [each for each in found.messages if each.role == pb.MESSAGE_ROLE_AGENT][-1]


def kinds(events: list[pb.TurnEvent]) -> list[str]:
    """The kinds of events, runs of deltas as one."""
    found: list[str] = []
    for event in events:
        kind = str(event.WhichOneof("event"))
        if kind != "delta" or found[-1:] != ["delta"]:
            found.append(kind)
    return found


def said(events: list[pb.TurnEvent]) -> str:
    """The text that the deltas add up to."""
    return "".join(event.delta.text for event in events)
