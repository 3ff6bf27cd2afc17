"""SQL of the costs: entries of llm-gateway's ledger, and sums of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg import sql
from psycopg.rows import class_row

from analytics.store.hours import COSTS, Parts
from analytics.store.rows import as_json


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
    price_nanos_per_million: int | None
    baseline_nanos: int | None
    message_id: UUID | None
    conversation_id: UUID | None
    agent_id: UUID | None
    visitor_id: UUID | None
    paid_by: str


async def claim_revisions(
    conn: FleetConnection, tenant_id: UUID, revisions: Mapping[UUID, int]
) -> list[UUID]:
    """Locks the calls, in the order given, and notes their revisions.

    Returns the calls of which neither a later revision nor this one was noted.
    """
    claimed = await conn.execute(
        "insert into cost_call (tenant_id, call_id, revision)"
        " select %s, call_id, revision"
        "  from unnest(%s::uuid[], %s::bigint[]) given (call_id, revision)"
        " on conflict (tenant_id, call_id) do update set revision = excluded.revision"
        " where cost_call.revision < excluded.revision returning call_id",
        [tenant_id, list(revisions), list(revisions.values())],
    )
    return [row[0] for row in await claimed.fetchall()]


async def delete_entries(
    conn: FleetConnection, tenant_id: UUID, call_ids: Sequence[UUID]
) -> list[tuple[UUID | None, datetime]]:
    """Removes the entries of calls; returns the conversation and the time of each."""
    deleted = await conn.execute(
        "delete from cost_entry where tenant_id = %s and call_id = any(%s)"
        " returning conversation_id, create_time",
        [tenant_id, list(call_ids)],
    )
    return await deleted.fetchall()


async def insert_entries(conn: FleetConnection, rows: Sequence[CostEntryRow]) -> None:
    """Adds entries, all in one statement."""
    await conn.execute(
        "insert into cost_entry select * from jsonb_populate_recordset(null::cost_entry, %s)",
        [as_json(rows)],
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
    direct_nanos: int
    all_groups: int
    all_nanos: int


# A key as it is grouped by (cheap: no text is made of each row), and how it is told.
_GROUPED: dict[str, tuple[sql.SQL, sql.SQL]] = {
    "conversation": (sql.SQL("conversation_id"), sql.SQL("{}::text")),
    "agent": (sql.SQL("agent_id"), sql.SQL("{}::text")),
    "visitor": (sql.SQL("visitor_id"), sql.SQL("{}::text")),
    "model": (sql.SQL("model"), sql.SQL("{}")),
    "service": (sql.SQL("service"), sql.SQL("{}")),
    "purpose": (sql.SQL("purpose"), sql.SQL("{}")),
    "day": (
        sql.SQL("(create_time at time zone 'UTC')::date"),
        sql.SQL("to_char({}, 'YYYY-MM-DD')"),
    ),
    "": (sql.SQL("null::text"), sql.SQL("{}")),
}


_OF_ENTRIES = sql.SQL(
    "(select *, case when status = 'unconfirmed' then amount_nanos else 0 end as unconfirmed_nanos,"
    "  case when paid_by = 'tenant' then amount_nanos else 0 end as direct_nanos"
    " from cost_entry) entry"
)
_OF_HOURS = sql.SQL(
    "(select tenant_id, create_time, nullif(agent_id, '00000000-0000-0000-0000-000000000000')"
    "  as agent_id, service, model, purpose, null::uuid as conversation_id, amount_nanos,"
    "  saved_nanos, unconfirmed_nanos, direct_nanos"
    " from (select tenant_id, hour as create_time, agent_id, service, model, purpose,"
    "   amount_nanos, saved_nanos, unconfirmed_nanos, direct_nanos from cost_hour"
    "  where tenant_id = %(tenant_id)s and hour >= %(first)s and hour < %(last)s"
    "  union all select tenant_id, hour, agent_id, service, model, purpose, amount_nanos,"
    "   saved_nanos, unconfirmed_nanos, direct_nanos from ({costs}) edge) of_hour) entry"
).format(costs=sql.SQL(COSTS))


async def sum_groups(
    conn: FleetConnection,
    tenant_id: UUID,
    group_by: str,
    split_by: str,
    chosen: CostFilter,
    limit: int,
    parts: Parts | None = None,
) -> list[CostGroupRow]:
    """The largest groups by one or two of the keys above, largest first; days in order.

    `split_by` may be "" for none. With `parts` of the period the sums by the hour are read for its
    whole hours; they know of no conversation and no visitor.
    """
    (key, told), (split, split_told) = _GROUPED[group_by], _GROUPED[split_by]
    statement = sql.SQL(
        "with sums as ("
        "  select {key} as key, {split} as split, sum(amount_nanos)::bigint as amount_nanos,"
        "   sum(saved_nanos)::bigint as saved_nanos,"
        "   sum(unconfirmed_nanos)::bigint as unconfirmed_nanos,"
        "   sum(direct_nanos)::bigint as direct_nanos,"
        "   count(*) over () as all_groups,"
        "   (sum(sum(amount_nanos)) over ())::bigint as all_nanos"
        "  from {source} where tenant_id = %(tenant_id)s"
        "   and (%(start_time)s::timestamptz is null or create_time >= %(start_time)s)"
        "   and (%(end_time)s::timestamptz is null or create_time < %(end_time)s)"
        "   and (%(agent_id)s::uuid is null or agent_id = %(agent_id)s)"
        "   and (%(conversation_ids)s::uuid[] is null"
        "    or conversation_id = any(%(conversation_ids)s))"
        "   and (%(service)s::text is null or service = %(service)s)"
        "   and (%(model)s::text is null or model = %(model)s)"
        "   and (%(purpose)s::text is null or purpose = %(purpose)s)"
        "  group by 1, 2 order by sum(amount_nanos) desc, 1, 2 limit %(limit)s)"
        " select coalesce({told}, '') as key, coalesce({split_told}, '') as split_key,"
        "  amount_nanos, saved_nanos, unconfirmed_nanos, direct_nanos, all_groups, all_nanos"
        " from sums"
        " order by case when %(by_day)s then coalesce({told}, '') end, amount_nanos desc,"
        "  coalesce({told}, ''), coalesce({split_told}, '')"
    ).format(
        source=_OF_ENTRIES if parts is None else _OF_HOURS,
        key=key,
        split=split,
        told=told.format(sql.Identifier("key")),
        split_told=split_told.format(sql.Identifier("split")),
    )
    parameters = chosen.parameters() | {
        "tenant_id": tenant_id,
        # An edge's sums stand at the beginning of its hour, which may be before the period's.
        **({"start_time": None, "end_time": None} if parts else {}),
        "first": parts.first if parts else None,
        "last": parts.last if parts else None,
        "starts": parts.edges.starts if parts else [],
        "ends": parts.edges.ends if parts else [],
        "by_day": group_by == "day",
        "limit": limit,
    }
    async with conn.cursor(row_factory=class_row(CostGroupRow)) as cursor:
        # A plan for these filters: one for any filter would read every row of the tenant.
        await cursor.execute(statement, parameters, prepare=False)
        return await cursor.fetchall()


# Conversations whose calls all fall into the period have their sum in their row; of those at its
# ends the entries are added up, and so is what serves no conversation.
_SUM_CONVERSATIONS: LiteralString = """
  with sums as (
    select conversation_id, amount_nanos, saved_nanos, unconfirmed_nanos, direct_nanos
    from conversation where tenant_id = %(tenant_id)s
      and first_cost_time >= %(start)s and last_cost_time < %(end)s
    union all
    select conversation_id, sum(amount_nanos)::bigint, sum(saved_nanos)::bigint,
      coalesce(sum(amount_nanos) filter (where status = 'unconfirmed'), 0)::bigint,
      coalesce(sum(amount_nanos) filter (where paid_by = 'tenant'), 0)::bigint
    from cost_entry where tenant_id = %(tenant_id)s
      and create_time >= %(start)s and create_time < %(end)s
      and conversation_id = any(array(
        select conversation_id from conversation where tenant_id = %(tenant_id)s
          and last_cost_time >= %(start)s and first_cost_time < %(end)s
          and (first_cost_time < %(start)s or last_cost_time >= %(end)s)))
    group by 1
    union all
    select null, sum(amount_nanos)::bigint, sum(saved_nanos)::bigint,
      coalesce(sum(amount_nanos) filter (where status = 'unconfirmed'), 0)::bigint,
      coalesce(sum(amount_nanos) filter (where paid_by = 'tenant'), 0)::bigint
    from cost_entry where tenant_id = %(tenant_id)s and conversation_id is null
      and create_time >= %(start)s and create_time < %(end)s
    having count(*) > 0),
  largest as (
    select *, count(*) over () as all_groups, (sum(amount_nanos) over ())::bigint as all_nanos
    from sums order by amount_nanos desc, conversation_id limit %(limit)s)
  select coalesce(conversation_id::text, '') as key, '' as split_key, amount_nanos, saved_nanos,
    unconfirmed_nanos, direct_nanos, all_groups, all_nanos
  from largest order by amount_nanos desc, key"""


async def sum_conversations(
    conn: FleetConnection,
    tenant_id: UUID,
    start_time: datetime | None,
    end_time: datetime | None,
    limit: int,
) -> list[CostGroupRow]:
    """The conversations of a period that cost most, and what serves none; the largest first."""
    async with conn.cursor(row_factory=class_row(CostGroupRow)) as cursor:
        await cursor.execute(
            _SUM_CONVERSATIONS,
            {
                "tenant_id": tenant_id,
                "start": start_time or "-infinity",
                "end": end_time or "infinity",
                "limit": limit,
            },
            prepare=False,
        )
        return await cursor.fetchall()
