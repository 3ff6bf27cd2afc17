"""Writing to a conversation: one transaction, its row locked first, its listeners told after."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1 import events_pb2
from fleetkit.errors import FailedPrecondition, NotFound
from fleetkit.events.outbox import outgoing
from fleetkit.ids import new_id
from fleetkit.postgres import FleetConnection
from google.protobuf.message import Message

from conversation import wire
from conversation.deps import Deps
from conversation.store import conversations as store
from conversation.store.conversations import ConversationRow


@dataclass(frozen=True, slots=True)
class ConversationChange:
    """What to set; None leaves it as it is."""

    status: str | None = None
    handoff_reason: str | None = None
    last_outcome: str | None = None
    title: str | None = None
    add_messages: int = 0


class Edit:
    """A conversation inside the transaction that changes it; `row` is always as it is by now.

    What is changed, emitted and published is written at the end of the transaction, at once.
    """

    def __init__(self, conn: FleetConnection, tenant_id: UUID, row: ConversationRow) -> None:
        self.conn = conn
        self.tenant_id = tenant_id
        self.row = row
        self._before = row
        self._events: list[pb.TurnEvent] = []
        self._told: list[Mapping[str, Any]] = []

    def change(self, change: ConversationChange) -> None:
        """Changes the conversation; a new revision."""
        row = self.row
        self.row = replace(
            row,
            status=row.status if change.status is None else change.status,
            handoff_reason=(
                row.handoff_reason if change.handoff_reason is None else change.handoff_reason
            ),
            last_outcome=row.last_outcome if change.last_outcome is None else change.last_outcome,
            title=row.title if change.title is None else change.title,
            message_count=row.message_count + change.add_messages,
            revision=row.revision + 1,
            update_time=self.conn.now(),
        )

    def change_status(
        self, status: str, handoff_reason: str | None = None, *, person: str = ""
    ) -> None:
        """Changes who answers, from now on `person`, and tells listeners and the bus.

        FailedPrecondition (TRIAL) in a trial: nobody is there to be answered by a person.
        """
        if self.row.is_trial:
            raise FailedPrecondition(
                "this is a trial of a draft: only the agent answers in it", reason="TRIAL"
            )
        self.change(ConversationChange(status=status, handoff_reason=handoff_reason))
        self.row = replace(self.row, status_time=self.conn.now(), taken_over_by=person)
        value = wire.status_of(status)
        self.emit(
            pb.TurnEvent(
                message_id=str(new_id()), sequence=1, status=pb.StatusChanged(status=value)
            )
        )
        self.publish(
            events_pb2.ConversationStatusChanged(
                conversation_id=str(self.row.conversation_id), status=value
            )
        )

    def request_handoff(self, reason: str) -> None:
        """Waits for a person from now on.

        Nothing when one was asked for or answers already, and in a trial, where nobody waits.
        """
        if self.row.is_trial or self.row.status in ("waiting", "taken_over"):
            return
        self.change_status("waiting", reason)
        self.publish(
            events_pb2.HandoffRequested(
                conversation_id=str(self.row.conversation_id),
                agent_id=str(self.row.agent_id),
                reason=wire.reason_of(reason),
            )
        )

    def emit(self, event: pb.TurnEvent) -> None:
        """Appends an event to what listeners see."""
        self._events.append(event)

    def publish(self, event: Message) -> None:
        """Tells the bus, with the conversation's revision; of a trial nobody is told."""
        if self.row.is_trial:
            return
        row = outgoing(event, self.conn.tenant_id, self.conn.now(), revision=self.row.revision)
        self._told.append(row)

    async def flush(self) -> list[pb.TurnEvent]:
        """Writes it all, and returns the events with their positions; `editing` does it last."""
        if self.row is self._before and not self._events and not self._told:
            return []
        rows = [
            (UUID(one.message_id), one.sequence, one.SerializeToString()) for one in self._events
        ]
        await store.save_conversation(self.conn, self.tenant_id, self.row, rows, self._told)
        placed: list[pb.TurnEvent] = []
        for position, event in enumerate(self._events, start=self.row.last_position + 1):
            copy = pb.TurnEvent()
            copy.CopyFrom(event)
            copy.position = position
            placed.append(copy)
        return placed


@asynccontextmanager
async def editing(deps: Deps, tenant_id: UUID, conversation_id: UUID) -> AsyncIterator[Edit]:
    """The conversation, locked; what the block does is committed at its end.

    NotFound when there is none.
    """
    async with deps.db.tenant(tenant_id) as conn:
        row = await store.lock_conversation(conn, tenant_id, conversation_id)
        if row is None:
            raise NotFound("there is no such conversation", field="conversation_id")
        edit = Edit(conn, tenant_id, row)
        yield edit
        events = await edit.flush()
    deps.hub.hand_over(conversation_id, events)
