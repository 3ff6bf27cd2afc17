"""SQL of the usage ledger, and of what is counted from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A row of `usage_ledger`: an answered message."""

    tenant_id: UUID
    event_id: UUID
    message_id: UUID
    conversation_id: UUID
    occur_time: datetime


async def insert_ledger(conn: FleetConnection, rows: Sequence[LedgerRow]) -> set[UUID]:
    """Adds rows of a tenant, but those whose event or message is on the ledger.

    Returns the event ids of those that were added.
    """
    inserted = await conn.execute(
        "insert into usage_ledger (tenant_id, event_id, message_id, conversation_id, occur_time)"
        " select %(tenant_id)s, event_id, message_id, conversation_id, occur_time"
        "  from unnest(%(event_ids)s::uuid[], %(message_ids)s::uuid[],"
        "   %(conversation_ids)s::uuid[], %(occur_times)s::timestamptz[])"
        "   given (event_id, message_id, conversation_id, occur_time)"
        " on conflict do nothing returning event_id",
        {
            "tenant_id": rows[0].tenant_id,
            "event_ids": [row.event_id for row in rows],
            "message_ids": [row.message_id for row in rows],
            "conversation_ids": [row.conversation_id for row in rows],
            "occur_times": [row.occur_time for row in rows],
        },
    )
    return {row[0] for row in await inserted.fetchall()}


async def count_conversations(conn: FleetConnection, rows: Sequence[LedgerRow]) -> None:
    """Counts the conversations of ledger rows at their first answer, by time and then event id.

    A conversation is among the rows once.
    """
    if not rows:
        return
    # In one order, so that two replicas don't wait for each other.
    ordered = sorted(rows, key=lambda row: row.conversation_id)
    await conn.execute(
        "insert into counted_conversation (tenant_id, conversation_id, first_event_id,"
        "  first_occur_time)"
        " select %(tenant_id)s, conversation_id, event_id, occur_time"
        "  from unnest(%(conversation_ids)s::uuid[], %(event_ids)s::uuid[],"
        "   %(occur_times)s::timestamptz[]) given (conversation_id, event_id, occur_time)"
        " on conflict (tenant_id, conversation_id) do update"
        " set first_event_id = excluded.first_event_id,"
        "  first_occur_time = excluded.first_occur_time"
        " where (excluded.first_occur_time, excluded.first_event_id)"
        "  < (counted_conversation.first_occur_time, counted_conversation.first_event_id)",
        {
            "tenant_id": ordered[0].tenant_id,
            "conversation_ids": [row.conversation_id for row in ordered],
            "event_ids": [row.event_id for row in ordered],
            "occur_times": [row.occur_time for row in ordered],
        },
    )


async def conversations_counted(
    conn: FleetConnection, tenant_id: UUID, start: datetime, end: datetime
) -> int:
    """How many conversations count in a period, end exclusive."""
    counted = await conn.execute(
        "select count(*) from counted_conversation"
        " where tenant_id = %s and first_occur_time >= %s and first_occur_time < %s",
        [tenant_id, start, end],
    )
    row = await counted.fetchone()
    return row[0] if row else 0


async def counted_at(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID
) -> datetime | None:
    """When a conversation was first answered; None for one that does not count (yet)."""
    found = await conn.execute(
        "select first_occur_time from counted_conversation"
        " where tenant_id = %s and conversation_id = %s",
        [tenant_id, conversation_id],
    )
    row = await found.fetchone()
    return row[0] if row else None


async def lock_counting(conn: FleetConnection) -> None:
    """Keeps others from counting until the transaction ends: they wait."""
    await conn.execute("lock table counted_conversation in share row exclusive mode")


async def recount(conn: FleetConnection, tenant_id: UUID) -> int:
    """Derives the tenant's counted conversations from the ledger; how many rows changed."""
    removed = await conn.execute(
        "delete from counted_conversation c where tenant_id = %(tenant_id)s and not exists ("
        " select from usage_ledger l where l.tenant_id = %(tenant_id)s"
        "  and l.conversation_id = c.conversation_id)",
        {"tenant_id": tenant_id},
    )
    changed = await conn.execute(
        "insert into counted_conversation (tenant_id, conversation_id, first_event_id,"
        "  first_occur_time)"
        " select distinct on (conversation_id) tenant_id, conversation_id, event_id, occur_time"
        " from usage_ledger where tenant_id = %s"
        " order by conversation_id, occur_time, event_id"
        " on conflict (tenant_id, conversation_id) do update"
        " set first_event_id = excluded.first_event_id,"
        "  first_occur_time = excluded.first_occur_time"
        " where (excluded.first_occur_time, excluded.first_event_id)"
        "  <> (counted_conversation.first_occur_time, counted_conversation.first_event_id)",
        [tenant_id],
    )
    return removed.rowcount + changed.rowcount


@dataclass(frozen=True, slots=True)
class MiscountedRow:
    """A conversation that is not counted as the ledger says; None where it is missing."""

    conversation_id: UUID
    counted_time: datetime | None
    ledger_time: datetime | None


async def miscounted(conn: FleetConnection, tenant_id: UUID) -> list[MiscountedRow]:
    """The conversations that are not counted as the ledger says."""
    async with conn.cursor(row_factory=class_row(MiscountedRow)) as cursor:
        await cursor.execute(
            "select conversation_id, c.first_occur_time as counted_time,"
            "  l.occur_time as ledger_time"
            " from (select distinct on (conversation_id) conversation_id, event_id, occur_time"
            "   from usage_ledger where tenant_id = %(tenant_id)s"
            "   order by conversation_id, occur_time, event_id) l"
            " full join (select * from counted_conversation where tenant_id = %(tenant_id)s) c"
            "  using (conversation_id)"
            " where (c.first_occur_time, c.first_event_id) is distinct from"
            "  (l.occur_time, l.event_id)"
            " order by conversation_id",
            {"tenant_id": tenant_id},
        )
        return await cursor.fetchall()
