"""SQL of the facts about conversations, and of the row that is derived from them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

from analytics.store.rows import as_json


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRow:
    """A row of `turn`: a turn that ended."""

    tenant_id: UUID
    message_id: UUID
    conversation_id: UUID
    agent_id: UUID
    agent_version: int
    visitor_id: UUID
    revision: int
    occur_time: datetime
    status: str
    outcome: str
    handoff_reason: str
    confidence_millis: int
    relevance_millis: int
    tier: int
    first_token_ms: int
    duration_ms: int
    citation_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationEventRow:
    """A row of `conversation_event`: what else happened."""

    tenant_id: UUID
    event_id: UUID
    conversation_id: UUID
    kind: str
    revision: int
    occur_time: datetime
    detail: str = ""
    agent_id: UUID | None = None
    visitor_id: UUID | None = None


# What the facts say of the conversation `k`. One text, so that what is kept up to date and what
# is rebuilt can't differ.
_DERIVED: LiteralString = """
  select coalesce(e.agent_id, t.agent_id)::uuid as agent_id,
    -- Turns of an erased visitor have the nil UUID.
    nullif(coalesce(e.visitor_id, t.visitor_id), '00000000-0000-0000-0000-000000000000')::uuid
      as visitor_id,
    coalesce(e.asked_time, t.end_time, e.start_time) as start_time,
    case when e.asked_time is null and t.turns = 0 then ''
      when e.handed_over or t.handoffs > 0 then 'handed_over'
      when t.answers > 0 then 'answered_alone'
      when t.clarifies > 0 then 'clarify'
      else 'unanswered' end as outcome,
    coalesce((
      select reason from (
        select occur_time, revision, detail as reason from conversation_event
        where tenant_id = k.tenant_id and conversation_id = k.conversation_id and kind = 'handoff'
        union all
        select occur_time, revision, handoff_reason from turn
        where tenant_id = k.tenant_id and conversation_id = k.conversation_id
          and outcome = 'handoff') asked
      order by occur_time, revision limit 1),
      case when e.handed_over then 'unspecified' else '' end) as handoff_reason,
    coalesce(e.status, '') as status,
    c.amount_nanos, c.saved_nanos, c.unconfirmed_nanos, c.direct_nanos, c.first_cost_time,
    c.last_cost_time
  from (
    select min(agent_id::text) as agent_id, min(visitor_id::text) as visitor_id,
      min(occur_time) filter (where kind = 'message' and detail = 'visitor') as asked_time,
      min(occur_time) filter (where kind = 'started') as start_time,
      coalesce(bool_or(kind = 'handoff' or (kind = 'status' and detail = 'taken_over')), false)
        as handed_over,
      (array_agg(detail order by revision desc) filter (where kind = 'status'))[1] as status
    from conversation_event
    where tenant_id = k.tenant_id and conversation_id = k.conversation_id) e
  cross join (
    select min(agent_id::text) as agent_id, min(visitor_id::text) as visitor_id,
      min(occur_time) as end_time, count(*) as turns,
      count(*) filter (where outcome = 'handoff') as handoffs,
      count(*) filter (where outcome = 'answered') as answers,
      count(*) filter (where outcome = 'clarify') as clarifies
    from turn where tenant_id = k.tenant_id and conversation_id = k.conversation_id) t
  cross join (
    select coalesce(sum(amount_nanos), 0)::bigint as amount_nanos,
      coalesce(sum(saved_nanos), 0)::bigint as saved_nanos,
      coalesce(sum(amount_nanos) filter (where status = 'unconfirmed'), 0)::bigint
        as unconfirmed_nanos,
      coalesce(sum(amount_nanos) filter (where paid_by = 'tenant'), 0)::bigint as direct_nanos,
      min(create_time) as first_cost_time, max(create_time) as last_cost_time
    from cost_entry where tenant_id = k.tenant_id and conversation_id = k.conversation_id) c"""


_DERIVE: LiteralString = f"""
  update conversation k set (agent_id, visitor_id, start_time, outcome, handoff_reason, status,
    amount_nanos, saved_nanos, unconfirmed_nanos, direct_nanos, first_cost_time, last_cost_time)
    = ({_DERIVED})
  where tenant_id = %s and conversation_id = any(%s)
  returning start_time"""  # noqa: S608 - made of literals only

_DIFFERENCES: LiteralString = f"""
  select k.conversation_id, (to_jsonb(c) - 'tenant_id' - 'conversation_id')::text as stored,
    to_jsonb(d)::text as derived
  from (select %(tenant_id)s::uuid as tenant_id, unnest(%(some)s::uuid[]) as conversation_id) k
  left join conversation c on c.tenant_id = k.tenant_id and c.conversation_id = k.conversation_id
  cross join lateral ({_DERIVED}) d
  where to_jsonb(c) - 'tenant_id' - 'conversation_id' is distinct from to_jsonb(d)
  order by k.conversation_id"""  # noqa: S608 - made of literals only


async def insert_turns(conn: FleetConnection, rows: Sequence[TurnRow]) -> set[datetime]:
    """Notes how turns ended, each unless a later revision of it is noted.

    A turn is among the rows once. Returns when those that changed end, and ended as noted before.
    """
    if not rows:
        return set()
    inserted = await conn.execute(
        "insert into turn (tenant_id, message_id, conversation_id, agent_id, agent_version,"
        "  visitor_id, revision, occur_time, status, outcome, handoff_reason, confidence_millis,"
        "  relevance_millis, tier, first_token_ms, duration_ms, citation_count)"
        " select tenant_id, message_id, conversation_id, agent_id, agent_version,"
        "  visitor_id, revision, occur_time, status, outcome, handoff_reason, confidence_millis,"
        "  relevance_millis, tier, first_token_ms, duration_ms, citation_count"
        " from jsonb_populate_recordset(null::turn, %s) order by message_id"
        " on conflict (tenant_id, message_id) do update set revision = excluded.revision,"
        "  occur_time = excluded.occur_time, status = excluded.status,"
        "  outcome = excluded.outcome, handoff_reason = excluded.handoff_reason,"
        "  confidence_millis = excluded.confidence_millis,"
        "  relevance_millis = excluded.relevance_millis, tier = excluded.tier,"
        "  first_token_ms = excluded.first_token_ms, duration_ms = excluded.duration_ms,"
        "  citation_count = excluded.citation_count"
        " where turn.revision < excluded.revision"
        " returning old.occur_time, new.occur_time",
        [as_json(rows)],
    )
    return {time for row in await inserted.fetchall() for time in row if time is not None}


async def insert_events(conn: FleetConnection, rows: Sequence[ConversationEventRow]) -> None:
    """Notes events, each unless it is noted."""
    if not rows:
        return
    await conn.execute(
        "insert into conversation_event (tenant_id, event_id, conversation_id, kind, detail,"
        "  revision, occur_time, agent_id, visitor_id)"
        " select tenant_id, event_id, conversation_id, kind, detail, revision, occur_time,"
        "  agent_id, visitor_id"
        " from jsonb_populate_recordset(null::conversation_event, %s)"
        " on conflict do nothing",
        [as_json(rows)],
    )


async def lock_conversations(
    conn: FleetConnection, tenant_id: UUID, conversation_ids: Collection[UUID]
) -> set[datetime]:
    """Locks the conversations' rows, in id order, making those that are not there.

    Whoever adds a fact does it first: two at once would each derive without the other's fact.
    Returns when those that are known to have begun did.
    """
    ordered = sorted(conversation_ids)
    await conn.execute(
        "insert into conversation (tenant_id, conversation_id) select %s, unnest(%s::uuid[])"
        " on conflict do nothing",
        [tenant_id, ordered],
    )
    locked = await conn.execute(
        "select start_time from conversation where tenant_id = %s and conversation_id = any(%s)"
        " order by conversation_id for update",
        [tenant_id, ordered],
    )
    return {row[0] for row in await locked.fetchall() if row[0] is not None}


async def derive_conversations(
    conn: FleetConnection, tenant_id: UUID, conversation_ids: Collection[UUID]
) -> set[datetime]:
    """Writes what the facts say of conversations, whose rows are locked before.

    Returns when those that have begun did.
    """
    derived = await conn.execute(_DERIVE, [tenant_id, list(conversation_ids)])
    return {row[0] for row in await derived.fetchall() if row[0] is not None}


async def conversation_ids(
    conn: FleetConnection, tenant_id: UUID, after: UUID, limit: int
) -> list[UUID]:
    """Conversations that there are facts or a row of, in id order, those after `after`."""
    found = await conn.execute(
        "select conversation_id from ("
        "  select conversation_id from turn where tenant_id = %(tenant_id)s"
        "  union select conversation_id from conversation_event where tenant_id = %(tenant_id)s"
        "  union select conversation_id from cost_entry"
        "   where tenant_id = %(tenant_id)s and conversation_id is not null"
        "  union select conversation_id from conversation where tenant_id = %(tenant_id)s) known"
        " where conversation_id > %(after)s order by conversation_id limit %(limit)s",
        {"tenant_id": tenant_id, "after": after, "limit": limit},
    )
    return [row[0] for row in await found.fetchall()]


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceRow:
    """A conversation whose row is not what its facts say; both as JSON objects of ids, figures."""

    conversation_id: UUID
    stored: str | None
    derived: str


async def differences(
    conn: FleetConnection, tenant_id: UUID, some: list[UUID]
) -> list[DifferenceRow]:
    """Which of the conversations have a row that is not what their facts say, or none."""
    async with conn.cursor(row_factory=class_row(DifferenceRow)) as cursor:
        await cursor.execute(_DIFFERENCES, {"tenant_id": tenant_id, "some": some})
        return await cursor.fetchall()
