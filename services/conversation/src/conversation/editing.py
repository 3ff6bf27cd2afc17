"""Writing to a conversation: one transaction, its row locked first, its listeners told after."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1 import events_pb2
from fleetkit.errors import NotFound
from fleetkit.events import publish
from fleetkit.ids import new_id
from fleetkit.postgres import FleetConnection
from google.protobuf.message import Message

from conversation import wire
from conversation.deps import Deps
from conversation.store import conversations as store
from conversation.store import timeline
from conversation.store.conversations import ConversationChange, ConversationRow


class Edit:
    """A conversation inside the transaction that changes it; `row` is always as it is now."""

    def __init__(self, conn: FleetConnection, tenant_id: UUID, row: ConversationRow) -> None:
        self.conn = conn
        self.tenant_id = tenant_id
        self.row = row
        self._events: list[pb.TurnEvent] = []

    async def change(self, change: ConversationChange) -> None:
        """Changes the conversation; a new revision."""
        self.row = await store.change_conversation(
            self.conn, self.tenant_id, self.row.conversation_id, change
        )

    async def change_status(self, status: str, handoff_reason: str | None = None) -> None:
        """Changes who answers, and tells listeners and the bus."""
        await self.change(ConversationChange(status=status, handoff_reason=handoff_reason))
        value = wire.status_of(status)
        self.emit(
            pb.TurnEvent(
                message_id=str(new_id()), sequence=1, status=pb.StatusChanged(status=value)
            )
        )
        await self.publish(
            events_pb2.ConversationStatusChanged(
                conversation_id=str(self.row.conversation_id), status=value
            )
        )

    async def request_handoff(self, reason: str) -> None:
        """Waits for a person from now on; nothing when one was asked for or answers already."""
        if self.row.status in ("waiting", "taken_over"):
            return
        await self.change_status("waiting", reason)
        await self.publish(
            events_pb2.HandoffRequested(
                conversation_id=str(self.row.conversation_id),
                agent_id=str(self.row.agent_id),
                reason=wire.reason_of(reason),
            )
        )

    def emit(self, event: pb.TurnEvent) -> None:
        """Appends an event to what listeners see, at the end of the transaction."""
        self._events.append(event)

    async def publish(self, event: Message) -> None:
        """Writes an event to the outbox, with the conversation's revision."""
        await publish(self.conn, event, revision=self.row.revision)

    async def flush(self) -> list[pb.TurnEvent]:
        """Stores the events emitted; `editing` does it last."""
        if not self._events:
            return []
        return await append(self.conn, self.tenant_id, self.row.conversation_id, self._events)


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


async def append(
    conn: FleetConnection,
    tenant_id: UUID,
    conversation_id: UUID,
    events: Sequence[pb.TurnEvent],
) -> list[pb.TurnEvent]:
    """Stores events at the conversation's end; returns them with their positions."""
    rows = [(UUID(each.message_id), each.sequence, each.SerializeToString()) for each in events]
    last = await timeline.append_events(conn, tenant_id, conversation_id, rows)
    placed: list[pb.TurnEvent] = []
    for number, event in enumerate(events, start=1):
        copy = pb.TurnEvent()
        copy.CopyFrom(event)
        copy.position = last - len(events) + number
        placed.append(copy)
    return placed
