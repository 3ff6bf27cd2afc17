"""SQL of memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import Database, FleetConnection
from psycopg.rows import tuple_row


@dataclass(frozen=True, slots=True)
class TurnRow:
    """A row of `turn`; `author` is "visitor", "agent" or "person"."""

    message_id: UUID
    author: str
    text: str
    token_count: int
    create_time: datetime


async def lock_window(conn: FleetConnection, tenant_id: UUID, conversation_id: UUID) -> None:
    """Waits for whoever writes to this window; holds it until the end of the transaction.

    Otherwise a message on its way in could survive a clearing that it did not see.
    """
    await conn.execute(
        "select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{tenant_id}/{conversation_id}"]
    )


async def insert_turns(
    conn: FleetConnection,
    tenant_id: UUID,
    conversation_id: UUID,
    visitor_id: UUID | None,
    turns: Sequence[TurnRow],
) -> set[UUID]:
    """Adds messages but those that are there, or were written before the window was cleared.

    Returns the ids of those that were added.
    """
    inserted = await conn.execute(
        "insert into turn (tenant_id, message_id, conversation_id, visitor_id, author, text,"
        " token_count, create_time)"
        " select %(tenant_id)s, message_id, %(conversation_id)s, %(visitor_id)s, author, text,"
        " token_count, create_time"
        " from unnest(%(message_ids)s::uuid[], %(authors)s::text[], %(texts)s::text[],"
        "  %(token_counts)s::int[], %(create_times)s::timestamptz[])"
        "  as new (message_id, author, text, token_count, create_time)"
        " where not exists (select from cleared_conversation where tenant_id = %(tenant_id)s"
        " and conversation_id = %(conversation_id)s and clear_time >= new.create_time)"
        " on conflict (tenant_id, message_id) do nothing returning message_id",
        {
            "tenant_id": tenant_id,
            "conversation_id": conversation_id,
            "visitor_id": visitor_id,
            "message_ids": [turn.message_id for turn in turns],
            "authors": [turn.author for turn in turns],
            "texts": [turn.text for turn in turns],
            "token_counts": [turn.token_count for turn in turns],
            "create_times": [turn.create_time for turn in turns],
        },
    )
    return {row[0] for row in await inserted.fetchall()}


async def find_window(
    db: Database, tenant_id: UUID, conversation_id: UUID, with_text: int
) -> tuple[list[TurnRow], datetime | None]:
    """The messages of a conversation, newest first, and when its window was last cleared.

    At most 500, of which the last `with_text` have their texts. Both in one statement.
    """
    rows = await db.read(
        tenant_id,
        tuple_row,
        "select cleared.clear_time, said.message_id, said.author,"
        "  case when said.place <= %(with_text)s then said.text else '' end,"
        "  said.token_count, said.create_time"
        " from (select (select clear_time"
        "   from cleared_conversation where tenant_id = tenant.id"
        "   and conversation_id = %(conversation_id)s) as clear_time) cleared"
        " left join lateral (select message_id, author, text, token_count, create_time,"
        "   row_number() over (order by create_time desc, message_id desc) as place"
        "   from turn where tenant_id = tenant.id"
        "   and conversation_id = %(conversation_id)s"
        "   order by create_time desc, message_id desc limit 500) said on true"
        " order by said.create_time desc, said.message_id desc",
        {"conversation_id": conversation_id, "with_text": with_text},
    )
    turns = [TurnRow(*row[1:]) for row in rows if row[1] is not None]
    return turns, rows[0][0]


async def mark_cleared(conn: FleetConnection, tenant_id: UUID, conversation_id: UUID) -> None:
    """Records that what was written until now is forgotten."""
    await conn.execute(
        "insert into cleared_conversation (tenant_id, conversation_id, clear_time)"
        " values (%s, %s, %s)"
        " on conflict (tenant_id, conversation_id) do update set clear_time = excluded.clear_time",
        [tenant_id, conversation_id, conn.now()],
    )


async def delete_turns(conn: FleetConnection, tenant_id: UUID, conversation_id: UUID) -> int:
    """Deletes a conversation's messages; returns how many."""
    deleted = await conn.execute(
        "delete from turn where tenant_id = %s and conversation_id = %s",
        [tenant_id, conversation_id],
    )
    return deleted.rowcount
