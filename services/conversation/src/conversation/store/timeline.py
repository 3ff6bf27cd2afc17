"""SQL of turn_events, and of the notifications that wake other replicas' listeners."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

import psycopg
from fleetkit.postgres import Database, FleetConnection
from psycopg.rows import class_row, scalar_row

CHANGED_CHANNEL = "conversation_changed"
CANCEL_CHANNEL = "conversation_cancel"


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as stored: a serialised TurnEvent and its place in the conversation."""

    position: int
    message_id: UUID
    sequence: int
    event: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A notification: the channel and ids."""

    channel: str
    payload: str


async def append_to_answer(
    db: Database,
    tenant_id: UUID,
    conversation_id: UUID,
    message_id: UUID,
    owner: UUID,
    sequence: int,
    event: bytes,
) -> int | None:
    """Appends an event to the answer that `owner` writes, in a transaction of its own. Idempotent.

    Returns its position; None when another process has closed the answer.
    """
    rows = await db.call(
        tenant_id,
        "select append_to_answer(%(tenant_id)s, %(conversation_id)s, %(message_id)s, %(owner)s,"
        "  %(sequence)s, %(event)s, %(now)s) from tenant",
        {
            "tenant_id": tenant_id,
            "conversation_id": conversation_id,
            "message_id": message_id,
            "owner": owner,
            "sequence": sequence,
            "event": event,
            "now": db.now(),
        },
    )
    return rows[0][0]


async def events_after(
    db: Database, tenant_id: UUID, conversation_id: UUID, position: int, limit: int
) -> list[EventRow]:
    """The events of a conversation after a position, in order."""
    return await db.read(
        tenant_id,
        class_row(EventRow),
        "select position, message_id, sequence, event from turn_events"
        " where tenant_id = tenant.id and conversation_id = %(conversation_id)s"
        "  and position > %(position)s order by position limit %(limit)s",
        {"conversation_id": conversation_id, "position": position, "limit": limit},
    )


async def events_of_message(
    conn: FleetConnection, tenant_id: UUID, message_id: UUID
) -> list[bytes]:
    """All events of one message, in order."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "select event from turn_events where tenant_id = %s and message_id = %s"
            " order by sequence",
            [tenant_id, message_id],
        )
        return await cursor.fetchall()


async def position_of(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID, message_id: UUID, sequence: int
) -> int | None:
    """Where an event stands in its conversation; None when it is not, or no longer, kept."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "select position from turn_events where tenant_id = %s and conversation_id = %s"
            "  and message_id = %s and sequence = %s",
            [tenant_id, conversation_id, message_id, sequence],
        )
        return await cursor.fetchone()


async def last_sequence(conn: FleetConnection, tenant_id: UUID, message_id: UUID) -> int:
    """The number of a message's last event; 0 when it has none."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "select coalesce(max(sequence), 0) from turn_events"
            " where tenant_id = %s and message_id = %s",
            [tenant_id, message_id],
        )
        return await cursor.fetchone() or 0


async def delete_events(conn: FleetConnection, tenant_id: UUID, keep_days: int) -> int:
    """Deletes events older than `keep_days` by the fleet clock, unless their answer is in flight.

    Returns how many. The text of messages is kept in their rows.
    """
    result = await conn.execute(
        "delete from turn_events"
        " where tenant_id = %(tenant_id)s"
        "  and create_time < %(now)s - make_interval(days => %(keep_days)s)"
        "  and not exists (select from message where message.tenant_id = %(tenant_id)s"
        "   and message.message_id = turn_events.message_id and message.status = 'answering')",
        {"tenant_id": tenant_id, "now": conn.now(), "keep_days": keep_days},
    )
    return result.rowcount


async def listen(conn: psycopg.AsyncConnection) -> None:
    """Subscribes a connection of its own, in autocommit, to the notifications."""
    await conn.execute("listen conversation_changed")
    await conn.execute("listen conversation_cancel")


async def notes(conn: psycopg.AsyncConnection) -> AsyncGenerator[Note, None]:
    """The notifications as they come, until the connection breaks.

    Sleeps until there is something to read; psycopg's own `notifies` wakes up ten times a second.
    """
    loop, readable, socket = asyncio.get_running_loop(), asyncio.Event(), conn.fileno()
    loop.add_reader(socket, readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            conn.pgconn.consume_input()
            while (note := conn.pgconn.notifies()) is not None:
                yield Note(note.relname.decode(), note.extra.decode())
    finally:
        loop.remove_reader(socket)
