"""Facts about conversations: each noted once, and what they add up to by now."""

from collections.abc import Collection
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection

from analytics.store import conversations as store
from analytics.store import hours
from analytics.store.conversations import ConversationEventRow, TurnRow


async def record_turn(conn: FleetConnection, row: TurnRow) -> None:
    """Notes how a turn ended, in the transaction of `conn`. Idempotent, in any order."""
    await changes(conn, row.tenant_id, [row.conversation_id])
    await hours.mark_turn(conn, row.tenant_id, row.message_id)
    await store.insert_turn(conn, row)
    await hours.mark_turn(conn, row.tenant_id, row.message_id)
    await changed(conn, row.tenant_id, [row.conversation_id])


async def record_event(conn: FleetConnection, row: ConversationEventRow) -> None:
    """Notes what else happened, in the transaction of `conn`. Idempotent, in any order."""
    await changes(conn, row.tenant_id, [row.conversation_id])
    await store.insert_event(conn, row)
    await changed(conn, row.tenant_id, [row.conversation_id])


async def changes(
    conn: FleetConnection, tenant_id: UUID, conversation_ids: Collection[UUID]
) -> None:
    """Before facts of conversations change: locks them, and marks the hours that they are in."""
    await store.lock_conversations(conn, tenant_id, conversation_ids)
    await hours.mark_conversations(conn, tenant_id, conversation_ids)


async def changed(
    conn: FleetConnection, tenant_id: UUID, conversation_ids: Collection[UUID]
) -> None:
    """After it: derives them anew, and marks the hours that they are in by now."""
    await store.derive_conversations(conn, tenant_id, conversation_ids)
    await hours.mark_conversations(conn, tenant_id, conversation_ids)
