"""SQL of the costs: entries of llm-gateway's ledger, and sums of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEntryRow:
    """A row of `cost_entry`; `model` is "provider/model"."""

    tenant_id: UUID
    usage_id: UUID
    call_id: UUID
    create_time: datetime
    status: str
    service: str
    model: str
    kind: str
    purpose: str
    units: int
    amount_nanos: int
    saved_nanos: int
    message_id: UUID | None
    conversation_id: UUID | None
    agent_id: UUID | None
    visitor_id: UUID | None


async def claim_revision(
    conn: FleetConnection, tenant_id: UUID, call_id: UUID, revision: int
) -> bool:
    """Locks the call and notes its revision; False when a later one or this one was noted."""
    claimed = await conn.execute(
        "insert into cost_call (tenant_id, call_id, revision) values (%s, %s, %s)"
        " on conflict (tenant_id, call_id) do update set revision = excluded.revision"
        " where cost_call.revision < excluded.revision",
        [tenant_id, call_id, revision],
    )
    return claimed.rowcount == 1


async def delete_entries(conn: FleetConnection, tenant_id: UUID, call_id: UUID) -> set[UUID]:
    """Removes the entries of a call; returns the conversations they were of."""
    deleted = await conn.execute(
        "delete from cost_entry where tenant_id = %s and call_id = %s returning conversation_id",
        [tenant_id, call_id],
    )
    return {row[0] for row in await deleted.fetchall() if row[0] is not None}


async def insert_entries(conn: FleetConnection, rows: Sequence[CostEntryRow]) -> None:
    """Adds entries."""
    async with conn.cursor() as cursor:
        await cursor.executemany(
            "insert into cost_entry (tenant_id, usage_id, call_id, create_time, status, service,"
            "  model, kind, purpose, units, amount_nanos, saved_nanos, message_id,"
            "  conversation_id, agent_id, visitor_id)"
            " values (%(tenant_id)s, %(usage_id)s, %(call_id)s, %(create_time)s, %(status)s,"
            "  %(service)s, %(model)s, %(kind)s, %(purpose)s, %(units)s, %(amount_nanos)s,"
            "  %(saved_nanos)s, %(message_id)s, %(conversation_id)s, %(agent_id)s,"
            "  %(visitor_id)s)",
            [asdict(row) for row in rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CostFilter:
    """Which entries to add up; None and () let everything pass."""

    start_time: datetime | None = None
    end_time: datetime | None = None
    agent_id: UUID | None = None
    conversation_ids: tuple[UUID, ...] = ()
    service: str | None = None
    model: str | None = None
    purpose: str | None = None

    def parameters(self) -> dict[str, Any]:
        """As the statement's parameters."""
        return asdict(self) | {"conversation_ids": list(self.conversation_ids) or None}


@dataclass(frozen=True, slots=True, kw_only=True)
class CostGroupRow:
    """A sum, beside the number of all groups and the sum of all; "" for an entry without a key."""

    key: str
    split_key: str
    amount_nanos: int
    saved_nanos: int
    unconfirmed_nanos: int
    all_groups: int
    all_nanos: int


async def sum_groups(
    conn: FleetConnection,
    tenant_id: UUID,
    group_by: str,
    split_by: str,
    chosen: CostFilter,
    limit: int,
) -> list[CostGroupRow]:
    """The largest groups by one or two of the keys below, largest first; days in order.

    `split_by` may be "" for none.
    """
    async with conn.cursor(row_factory=class_row(CostGroupRow)) as cursor:
        await cursor.execute(
            "with keyed as ("
            "  select amount_nanos, saved_nanos, status,"
            "   coalesce(case %(group_by)s"
            "    when 'conversation' then conversation_id::text when 'agent' then agent_id::text"
            "    when 'visitor' then visitor_id::text when 'model' then model"
            "    when 'service' then service when 'purpose' then purpose"
            "    when 'day' then to_char(create_time at time zone 'UTC', 'YYYY-MM-DD')"
            "    end, '') as key,"
            "   coalesce(case %(split_by)s"
            "    when 'conversation' then conversation_id::text when 'agent' then agent_id::text"
            "    when 'visitor' then visitor_id::text when 'model' then model"
            "    when 'service' then service when 'purpose' then purpose"
            "    when 'day' then to_char(create_time at time zone 'UTC', 'YYYY-MM-DD')"
            "    end, '') as split_key"
            "  from cost_entry where tenant_id = %(tenant_id)s"
            "   and (%(start_time)s::timestamptz is null or create_time >= %(start_time)s)"
            "   and (%(end_time)s::timestamptz is null or create_time < %(end_time)s)"
            "   and (%(agent_id)s::uuid is null or agent_id = %(agent_id)s)"
            "   and (%(conversation_ids)s::uuid[] is null"
            "    or conversation_id = any(%(conversation_ids)s))"
            "   and (%(service)s::text is null or service = %(service)s)"
            "   and (%(model)s::text is null or model = %(model)s)"
            "   and (%(purpose)s::text is null or purpose = %(purpose)s)),"
            " largest as ("
            "  select key, split_key, sum(amount_nanos)::bigint as amount_nanos,"
            "   sum(saved_nanos)::bigint as saved_nanos,"
            "   coalesce(sum(amount_nanos) filter (where status = 'unconfirmed'), 0)::bigint"
            "    as unconfirmed_nanos,"
            "   count(*) over () as all_groups,"
            "   (sum(sum(amount_nanos)) over ())::bigint as all_nanos"
            "  from keyed group by key, split_key"
            "  order by sum(amount_nanos) desc, key, split_key limit %(limit)s)"
            " select * from largest"
            " order by case when %(group_by)s = 'day' then key end, amount_nanos desc, key,"
            "  split_key",
            {
                **chosen.parameters(),
                "tenant_id": tenant_id,
                "group_by": group_by,
                "split_by": split_by,
                "limit": limit,
            },
        )
        return await cursor.fetchall()
