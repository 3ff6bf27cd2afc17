"""Events of conversations and of what they cost, as their owners would tell them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from fleetdesk.conversation.v1 import conversation_pb2 as conversation
from fleetdesk.conversation.v1 import events_pb2 as happened
from fleetdesk.llm_gateway.v1 import events_pb2 as spent
from fleetdesk.llm_gateway.v1 import usage_pb2

MONDAY = datetime(2026, 11, 16, 9, tzinfo=UTC)


@dataclass(slots=True)
class Story:
    """The events of one conversation, in the order in which they are true."""

    began: datetime = MONDAY
    agent_id: str = field(default_factory=lambda: str(uuid4()))
    conversation_id: str = field(default_factory=lambda: str(uuid4()))
    visitor_id: str = field(default_factory=lambda: str(uuid4()))
    events: list[Any] = field(default_factory=list)
    _revision: int = 0

    def starts(self) -> "Story":
        return self._add(
            happened.ConversationStarted(agent_id=self.agent_id, visitor_id=self.visitor_id)
        )

    def asks(self, role: int = conversation.MESSAGE_ROLE_VISITOR) -> "Story":
        return self._add(
            happened.MessageStored(
                message_id=str(uuid4()),
                role=role,  # pyright: ignore[reportArgumentType]
                agent_id=self.agent_id,
                visitor_id=self.visitor_id,
            )
        )

    def ends(self, outcome: str = "answered", **fields: Any) -> "Story":
        """A turn that ended well, but for what `fields` say."""
        given: dict[str, Any] = {
            "status": conversation.MESSAGE_STATUS_COMPLETED,
            "outcome": conversation.Outcome.Value(f"OUTCOME_{outcome.upper()}"),
            "confidence_millis": 800,
            "first_token_ms": 100,
            "duration_ms": 900,
        }
        return self._add(
            happened.MessageCompleted(
                message_id=str(uuid4()),
                agent_id=self.agent_id,
                visitor_id=self.visitor_id,
                **{**given, **fields},
            )
        )

    def hands_over(self, reason: str = "missing_knowledge") -> "Story":
        value = conversation.HandoffReason.Value(f"HANDOFF_REASON_{reason.upper()}")
        return self._add(happened.HandoffRequested(agent_id=self.agent_id, reason=value))

    def becomes(self, status: str) -> "Story":
        value = conversation.ConversationStatus.Value(f"CONVERSATION_STATUS_{status.upper()}")
        return self._add(happened.ConversationStatusChanged(status=value))

    def costs(self, *amounts: int, **fields: Any) -> "Story":
        """A call of a model with an entry of each amount; revision 1 is the call's own."""
        event = usage(
            *amounts,
            when=self.began,
            conversation_id=self.conversation_id,
            agent_id=self.agent_id,
            visitor_id=self.visitor_id,
            **fields,
        )
        self.events.append(event)
        return self

    def _add(self, event: Any) -> "Story":
        self._revision += 1
        event.conversation_id = self.conversation_id
        event.revision = self._revision
        event.event_id = str(uuid4())
        event.occur_time.FromDatetime(self.began + timedelta(seconds=self._revision))
        self.events.append(event)
        return self


def usage(
    *amounts: int,
    when: datetime = MONDAY,
    call_id: str = "",
    revision: int = 1,
    status: int = usage_pb2.USAGE_STATUS_SETTLED,
    **fields: Any,
) -> spent.UsageRecorded:
    """A call of a model with an entry of each amount."""
    call_id = call_id or str(uuid4())
    given = {"service": "conversation", "provider": "local", "model": "writer", "purpose": "turn"}
    event = spent.UsageRecorded(event_id=str(uuid4()), call_id=call_id, revision=revision)
    event.occur_time.FromDatetime(when)
    for number, amount in enumerate(amounts):
        entry = event.entries.add(
            usage_id=str(uuid4()),
            call_id=call_id,
            kind=f"kind_{number}",
            units=1,
            amount_nanos=amount,
            status=status,
            **{**given, **fields},
        )
        entry.create_time.FromDatetime(when)
    return event
