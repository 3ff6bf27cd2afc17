"""SQL of memory."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import Database, FleetConnection
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

# Ids and times as their texts.
_dumps = json.JSONEncoder(default=str).encode


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
    db: Database,
    tenant_id: UUID,
    conversation_id: UUID,
    visitor_id: UUID | None,
    turns: Sequence[TurnRow],
) -> set[UUID]:
    """Adds messages but those that are there, or were written before the window was cleared.

    In a transaction of its own, under the window's lock. Returns the ids of those that were added.
    """
    rows = [{**asdict(turn), "visitor_id": visitor_id} for turn in turns]
    added = await db.call(
        tenant_id,
        "select record_turns(%(tenant_id)s, %(conversation_id)s, %(rows)s) from tenant",
        {
            "tenant_id": tenant_id,
            "conversation_id": conversation_id,
            "rows": Jsonb(rows, _dumps),
        },
    )
    return {row[0] for row in added}


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
