"""Facts about conversations: each noted once, and what they add up to by now."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection

from analytics.store import conversations as store
from analytics.store import hours
from analytics.store.conversations import ConversationEventRow, TurnRow


async def record(
    conn: FleetConnection,
    tenant_id: UUID,
    turns: Sequence[TurnRow],
    events: Sequence[ConversationEventRow],
) -> None:
    """Notes how turns ended and what else happened, in the transaction of `conn`.

    Idempotent, in any order.
    """
    touched = {row.conversation_id for row in (*turns, *events)}
    times = await lock(conn, tenant_id, touched)
    # Of a turn that comes in several revisions the last.
    newest = {row.message_id: row for row in sorted(turns, key=lambda row: row.revision)}
    times |= await store.insert_turns(conn, list(newest.values()))
    await store.insert_events(conn, events)
    await changed(conn, tenant_id, touched, times)


async def lock(
    conn: FleetConnection, tenant_id: UUID, conversation_ids: Collection[UUID]
) -> set[datetime]:
    """Before facts of conversations change: locks them; when they began, as far as is known."""
    return await store.lock_conversations(conn, tenant_id, conversation_ids)


async def changed(
    conn: FleetConnection,
    tenant_id: UUID,
    conversation_ids: Collection[UUID],
    times: Collection[datetime],
) -> None:
    """After it: derives them anew, and marks the hours that they are in, or were at `times`.

    `times` are also those of the facts themselves, before and after.
    """
    began = await store.derive_conversations(conn, tenant_id, conversation_ids)
    await hours.mark(conn, tenant_id, {*times, *began})
