"""SQL of the usage ledger, and of what is counted from it."""

from dataclasses import asdict, dataclass
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


async def insert_ledger(conn: FleetConnection, row: LedgerRow) -> bool:
    """Adds a row; False, changing nothing, when its event or its message is on the ledger."""
    inserted = await conn.execute(
        "insert into usage_ledger (tenant_id, event_id, message_id, conversation_id, occur_time)"
        " values (%(tenant_id)s, %(event_id)s, %(message_id)s, %(conversation_id)s,"
        "  %(occur_time)s)"
        " on conflict do nothing",
        asdict(row),
    )
    return inserted.rowcount == 1


async def count_conversation(conn: FleetConnection, row: LedgerRow) -> None:
    """Counts the conversation of a ledger row at its first answer, by time and then event id."""
    await conn.execute(
        "insert into counted_conversation (tenant_id, conversation_id, first_event_id,"
        "  first_occur_time)"
        " values (%(tenant_id)s, %(conversation_id)s, %(event_id)s, %(occur_time)s)"
        " on conflict (tenant_id, conversation_id) do update"
        " set first_event_id = excluded.first_event_id,"
        "  first_occur_time = excluded.first_occur_time"
        " where (excluded.first_occur_time, excluded.first_event_id)"
        "  < (counted_conversation.first_occur_time, counted_conversation.first_event_id)",
        asdict(row),
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
