"""Facts about conversations: each noted once, and what they add up to by now."""

from fleetkit.postgres.connection import FleetConnection

from analytics.store import conversations as store
from analytics.store.conversations import ConversationEventRow, TurnRow


async def record_turn(conn: FleetConnection, row: TurnRow) -> None:
    """Notes how a turn ended, in the transaction of `conn`. Idempotent, in any order."""
    await store.lock_conversations(conn, row.tenant_id, [row.conversation_id])
    await store.insert_turn(conn, row)
    await store.derive_conversations(conn, row.tenant_id, [row.conversation_id])


async def record_event(conn: FleetConnection, row: ConversationEventRow) -> None:
    """Notes what else happened, in the transaction of `conn`. Idempotent, in any order."""
    await store.lock_conversations(conn, row.tenant_id, [row.conversation_id])
    await store.insert_event(conn, row)
    await store.derive_conversations(conn, row.tenant_id, [row.conversation_id])
