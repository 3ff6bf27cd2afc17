"""SQL of llm-gateway: the cost ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from fleetkit.events.outbox import INSERT_EVENT, TOPIC
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

# What `settle_call` raises.
NOT_OPEN = "FD001"
# Joins the writing of an event to the statement that makes it true.
_TOLD: LiteralString = f", told as ({INSERT_EVENT}) "
_HIT: LiteralString = (
    "select record_hit(jsonb_populate_record(null::usage_call, %(row)s), %(entries)s) from tenant"
)
_SETTLE: LiteralString = (
    "select settle_call(%(tenant_id)s, %(call_id)s, %(status)s, %(failure)s, %(entries)s)"
    " from tenant"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """A row of `usage_call`, as it is written before the call."""

    call_id: UUID
    tenant_id: UUID
    create_time: datetime
    service: str
    operation: str
    provider: str
    model: str
    purpose: str
    message_id: UUID | None
    conversation_id: UUID | None
    agent_id: UUID | None
    visitor_id: UUID | None
    knowledge_document_id: UUID | None
    price_book_version: str
    reserved: list[dict[str, Any]]
    reserved_nanos: int
    tier: int
    tier_reason: str
    paid_by: str = "fleet"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRow:
    """A row of `usage_entry`."""

    usage_id: UUID
    tenant_id: UUID
    call_id: UUID
    create_time: datetime
    status: str
    service: str
    provider: str
    model: str
    kind: str
    purpose: str
    units: int
    price_nanos_per_million: int
    price_book_version: str
    amount_nanos: int
    saved_nanos: int
    baseline_nanos: int | None
    message_id: UUID | None
    conversation_id: UUID | None
    agent_id: UUID | None
    visitor_id: UUID | None
    tier: int
    tier_reason: str
    paid_by: str = "fleet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which entries: of a message, of a conversation, of a time; None does not narrow."""

    message_id: UUID | None = None
    conversation_id: UUID | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None

    def parameters(self, tenant_id: UUID) -> dict[str, Any]:
        """As the named parameters of the statements below."""
        return {
            "tenant_id": tenant_id,
            "message_id": self.message_id,
            "conversation_id": self.conversation_id,
            "start_time": self.start_time,
            "end_time": self.end_time,
        }


async def reserve_call(db: Database, row: CallRow, expires_in_s: float) -> UUID | None:
    """Adds an open call that is given up `expires_in_s` real seconds from now.

    Counts its reservation in every budget that it falls under. Returns the window of a hard budget
    that has no room, in which case nothing is added; else None. Idempotent.
    """
    rows = await db.call(
        row.tenant_id,
        "select reserve_call(jsonb_populate_record(null::usage_call, %(row)s), %(expires_in_s)s)"
        " from tenant",
        {"row": Jsonb(row, msgspec.json.encode), "expires_in_s": expires_in_s},
    )
    return rows[0][0]


async def record_hit(
    db: Database, row: CallRow, entries: Sequence[EntryRow], event: Mapping[str, Any]
) -> None:
    """Adds a settled call with its entries, and the event that tells of them. Idempotent."""
    await db.call(
        row.tenant_id,
        _TOLD + _HIT,
        {
            **event,
            "row": Jsonb(row, msgspec.json.encode),
            "entries": Jsonb(entries, msgspec.json.encode),
        },
        signal=TOPIC,
    )


async def settle_call(
    db: Database,
    row: CallRow,
    status: str,
    failure: str,
    entries: Sequence[EntryRow],
    event: Mapping[str, Any] | None,
) -> list[UUID]:
    """Closes an open call with its entries, which take the place of its reservation in budgets.

    Writes the event that tells of them with it. Returns the budget windows whose next warning is
    due. DatabaseError with the SQLSTATE `NOT_OPEN`, and nothing is written, when it is closed.
    """
    rows = await db.call(
        row.tenant_id,
        _TOLD + _SETTLE if event else _SETTLE,
        {
            **(event or {}),
            "tenant_id": row.tenant_id,
            "call_id": row.call_id,
            "status": status,
            "failure": failure,
            "entries": Jsonb(entries, msgspec.json.encode),
        },
        signal=TOPIC if event else "",
    )
    return [window_id for (window_id,) in rows]


async def expired_calls(conn: FleetConnection, tenant_id: UUID, limit: int) -> list[CallRow]:
    """Open calls that nobody waits for any more, the longest gone first."""
    async with conn.cursor(row_factory=class_row(CallRow)) as cursor:
        await cursor.execute(
            "select call_id, tenant_id, create_time, service, operation, provider, model,"
            "  purpose, message_id, conversation_id, agent_id, visitor_id, knowledge_document_id,"
            "  price_book_version, reserved, reserved_nanos, tier, tier_reason, paid_by"
            " from usage_call where tenant_id = %s and status = 'open'"
            "  and expire_time < clock_timestamp() order by expire_time limit %s",
            [tenant_id, limit],
        )
        return await cursor.fetchall()


async def list_entries(
    conn: FleetConnection,
    tenant_id: UUID,
    selection: Selection,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[EntryRow]:
    """Entries oldest first, those after the position `after`."""
    after_time, after_id = after or (None, None)
    async with conn.cursor(row_factory=class_row(EntryRow)) as cursor:
        await cursor.execute(
            "select usage_id, tenant_id, call_id, create_time, status, service, provider, model,"
            "  kind, purpose, units, price_nanos_per_million, price_book_version, amount_nanos,"
            "  saved_nanos, baseline_nanos, message_id, conversation_id, agent_id, visitor_id,"
            "  tier, tier_reason, paid_by"
            " from usage_entry where tenant_id = %(tenant_id)s"
            "  and (%(message_id)s::uuid is null or message_id = %(message_id)s)"
            "  and (%(conversation_id)s::uuid is null or conversation_id = %(conversation_id)s)"
            "  and (%(start_time)s::timestamptz is null or create_time >= %(start_time)s)"
            "  and (%(end_time)s::timestamptz is null or create_time < %(end_time)s)"
            "  and (%(after_time)s::timestamptz is null"
            "   or (create_time, usage_id) > (%(after_time)s, %(after_id)s::uuid))"
            " order by create_time, usage_id limit %(limit)s",
            {
                **selection.parameters(tenant_id),
                "after_time": after_time,
                "after_id": after_id,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


async def entries_of_message(
    db: Database, tenant_id: UUID, message_id: UUID, limit: int
) -> list[EntryRow]:
    """The entries of a message, oldest first."""
    return await db.read(
        tenant_id,
        class_row(EntryRow),
        "select usage_id, tenant_id, call_id, create_time, status, service, provider, model,"
        "  kind, purpose, units, price_nanos_per_million, price_book_version, amount_nanos,"
        "  saved_nanos, baseline_nanos, message_id, conversation_id, agent_id, visitor_id,"
        "  tier, tier_reason, paid_by"
        " from usage_entry where tenant_id = tenant.id and message_id = %(message_id)s"
        " order by create_time, usage_id limit %(limit)s",
        {"message_id": message_id, "limit": limit},
    )


async def sum_entries(conn: FleetConnection, tenant_id: UUID, selection: Selection) -> int:
    """The sum of the amounts of all entries selected, in nano-dollars."""
    summed = await conn.execute(
        "select coalesce(sum(amount_nanos), 0)::bigint from usage_entry"
        " where tenant_id = %(tenant_id)s"
        "  and (%(message_id)s::uuid is null or message_id = %(message_id)s)"
        "  and (%(conversation_id)s::uuid is null or conversation_id = %(conversation_id)s)"
        "  and (%(start_time)s::timestamptz is null or create_time >= %(start_time)s)"
        "  and (%(end_time)s::timestamptz is null or create_time < %(end_time)s)",
        selection.parameters(tenant_id),
    )
    row = await summed.fetchone()
    return row[0] if row else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """Sums of the entries that share a key; keys are "" where an entry has none."""

    key: str
    split_key: str
    amount_nanos: int
    saved_nanos: int
    unconfirmed_nanos: int


async def group_entries(
    conn: FleetConnection, tenant_id: UUID, group_by: str, split_by: str, selection: Selection
) -> list[GroupRow]:
    """Sums by one or two of the keys named below; `split_by` may be "" for none."""
    async with conn.cursor(row_factory=class_row(GroupRow)) as cursor:
        await cursor.execute(
            "with keyed as ("
            "  select amount_nanos, saved_nanos, status,"
            "   coalesce(case %(group_by)s"
            "    when 'conversation' then conversation_id::text when 'agent' then agent_id::text"
            "    when 'visitor' then visitor_id::text when 'model' then provider || '/' || model"
            "    when 'service' then service when 'purpose' then purpose"
            "    when 'day' then to_char(create_time at time zone 'UTC', 'YYYY-MM-DD')"
            "    end, '') as key,"
            "   coalesce(case %(split_by)s"
            "    when 'conversation' then conversation_id::text when 'agent' then agent_id::text"
            "    when 'visitor' then visitor_id::text when 'model' then provider || '/' || model"
            "    when 'service' then service when 'purpose' then purpose"
            "    when 'day' then to_char(create_time at time zone 'UTC', 'YYYY-MM-DD')"
            "    end, '') as split_key"
            "  from usage_entry where tenant_id = %(tenant_id)s"
            "   and (%(start_time)s::timestamptz is null or create_time >= %(start_time)s)"
            "   and (%(end_time)s::timestamptz is null or create_time < %(end_time)s))"
            " select key, split_key, sum(amount_nanos)::bigint as amount_nanos,"
            "  sum(saved_nanos)::bigint as saved_nanos,"
            "  coalesce(sum(amount_nanos) filter (where status = 'unconfirmed'), 0)::bigint"
            "   as unconfirmed_nanos"
            " from keyed group by key, split_key"
            " order by case when %(group_by)s = 'day' then key end, amount_nanos desc,"
            "  key, split_key",
            {**selection.parameters(tenant_id), "group_by": group_by, "split_by": split_by},
        )
        return await cursor.fetchall()
