"""SQL of the sums by the hour: marks on hours whose facts changed, and deriving them anew."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

_NOBODY: LiteralString = "'00000000-0000-0000-0000-000000000000'::uuid"

# What the facts say of the hours in the ranges [starts, ends). One text each, so that what is
# derived, what is compared and what is read at the edges of a period can't differ.
TURNS: LiteralString = """
  select t.tenant_id, date_trunc('hour', t.occur_time, 'UTC') as hour, t.agent_id,
    count(*) as total,
    count(*) filter (where t.outcome = 'answered') as answered,
    count(*) filter (where t.outcome = 'clarify') as clarify,
    count(*) filter (where t.outcome = 'handoff') as handoff,
    count(*) filter (where t.status = 'canceled') as canceled,
    count(*) filter (where t.status = 'failed') as failed,
    coalesce(sum(t.confidence_millis) filter (where t.outcome = 'answered'), 0)::bigint
      as confidence_millis,
    coalesce(string_agg(int4send(t.first_token_ms), ''::bytea order by t.first_token_ms)
      filter (where t.status = 'completed'), ''::bytea) as first_token_ms,
    coalesce(string_agg(int4send(t.duration_ms), ''::bytea order by t.duration_ms)
      filter (where t.status = 'completed'), ''::bytea) as duration_ms
  from unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) span (start_time, end_time)
  join turn t on t.tenant_id = %(tenant_id)s
    and t.occur_time >= span.start_time and t.occur_time < span.end_time
  group by 1, 2, 3"""
CONVERSATIONS: LiteralString = f"""
  select c.tenant_id, date_trunc('hour', c.start_time, 'UTC') as hour,
    coalesce(c.agent_id, {_NOBODY}) as agent_id, c.outcome, c.handoff_reason,
    count(*) as total,
    count(*) filter (where c.status = 'resolved') as closed,
    sum(c.amount_nanos)::bigint as amount_nanos
  from unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) span (start_time, end_time)
  join conversation c on c.tenant_id = %(tenant_id)s and c.outcome <> ''
    and c.start_time >= span.start_time and c.start_time < span.end_time
  group by 1, 2, 3, 4, 5"""  # noqa: S608 - made of literals only
COSTS: LiteralString = f"""
  select e.tenant_id, date_trunc('hour', e.create_time, 'UTC') as hour,
    coalesce(e.agent_id, {_NOBODY}) as agent_id, e.service, e.model, e.purpose,
    sum(e.amount_nanos)::bigint as amount_nanos,
    sum(e.saved_nanos)::bigint as saved_nanos,
    coalesce(sum(e.amount_nanos) filter (where e.status = 'unconfirmed'), 0)::bigint
      as unconfirmed_nanos,
    coalesce(sum(e.amount_nanos) filter (where e.paid_by = 'tenant'), 0)::bigint as direct_nanos
  from unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) span (start_time, end_time)
  join cost_entry e on e.tenant_id = %(tenant_id)s
    and e.create_time >= span.start_time and e.create_time < span.end_time
  group by 1, 2, 3, 4, 5, 6"""  # noqa: S608 - made of literals only

UNITS: LiteralString = f"""
  select e.tenant_id, date_trunc('hour', e.create_time, 'UTC') as hour,
    coalesce(e.agent_id, {_NOBODY}) as agent_id, e.model, e.kind,
    coalesce(e.price_nanos_per_million, 0) as price_nanos_per_million,
    sum(e.units)::bigint as units,
    sum(e.amount_nanos)::bigint as amount_nanos,
    sum(e.saved_nanos)::bigint as saved_nanos,
    sum(coalesce(e.baseline_nanos, e.amount_nanos + e.saved_nanos))::bigint as baseline_nanos,
    coalesce(sum(e.amount_nanos) filter (where e.status = 'unconfirmed'), 0)::bigint
      as unconfirmed_nanos
  from unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) span (start_time, end_time)
  join cost_entry e on e.tenant_id = %(tenant_id)s
    and e.create_time >= span.start_time and e.create_time < span.end_time
  group by 1, 2, 3, 4, 5, 6"""  # noqa: S608 - made of literals only

# Each table of sums, how its rows are forgotten and derived, and where they are not as derived.
_FORGET: tuple[LiteralString, ...] = tuple(
    f"delete from {table} s using"  # noqa: S608 - made of literals only
    " unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) span (start_time, end_time)"
    " where s.tenant_id = %(tenant_id)s and s.hour >= span.start_time and s.hour < span.end_time"
    for table in ("turn_hour", "conversation_hour", "cost_hour", "unit_hour")
)
_DERIVE: tuple[LiteralString, ...] = (
    f"insert into turn_hour {TURNS}",
    f"insert into conversation_hour {CONVERSATIONS}",
    f"insert into cost_hour {COSTS}",
    f"insert into unit_hour {UNITS}",
)


def _compared(table: LiteralString, derived: LiteralString) -> LiteralString:
    return f"""
      select coalesce(kept.hour, derived.hour) as hour, '{table}' as sums,
        to_jsonb(kept)::text as stored, to_jsonb(derived)::text as derived
      from (select s.* from {table} s
        join unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) span (start_time, end_time)
          on s.hour >= span.start_time and s.hour < span.end_time
        where s.tenant_id = %(tenant_id)s) kept
      full join ({derived}) derived on to_jsonb(kept) = to_jsonb(derived)
      where kept.hour is null or derived.hour is null"""  # noqa: S608 - made of literals only


_DIFFERENCES: LiteralString = (
    _compared("turn_hour", TURNS)
    + " union all "
    + _compared("conversation_hour", CONVERSATIONS)
    + " union all "
    + _compared("cost_hour", COSTS)
    + " union all "
    + _compared("unit_hour", UNITS)
    + " order by 1, 2, 3"
)


@dataclass(frozen=True, slots=True)
class Spans:
    """Times from which on and before which something is read, in pairs; of one tenant."""

    tenant_id: UUID
    starts: list[datetime]
    ends: list[datetime]

    @property
    def parameters(self) -> dict[str, object]:
        """As the statements' parameters."""
        return {"tenant_id": self.tenant_id, "starts": self.starts, "ends": self.ends}


@dataclass(frozen=True, slots=True)
class Parts:
    """A period as whole hours, [first, last), and the edges beside them, which facts tell."""

    first: datetime
    last: datetime
    edges: Spans


async def mark(conn: FleetConnection, tenant_id: UUID, times: Collection[datetime]) -> None:
    """Marks the hours of the times: facts of them changed in this transaction."""
    await conn.execute(
        "insert into hour_mark (tenant_id, hour)"
        " select distinct %s::uuid, date_trunc('hour', time, 'UTC')"
        "  from unnest(%s::timestamptz[]) changed (time)",
        [tenant_id, list(times)],
    )


async def lock_hours(conn: FleetConnection, tenant_id: UUID) -> None:
    """Lets one transaction after the other derive the tenant's hours."""
    await conn.execute(
        "select pg_advisory_xact_lock(hashtextextended('hours' || %s, 0))", [str(tenant_id)]
    )


async def has_marks(conn: FleetConnection, tenant_id: UUID) -> bool:
    """Whether an hour of the tenant is marked."""
    found = await conn.execute("select from hour_mark where tenant_id = %s limit 1", [tenant_id])
    return await found.fetchone() is not None


async def take_marks(conn: FleetConnection, tenant_id: UUID, limit: int) -> list[datetime]:
    """Removes all marks of the earliest marked hours; returns the hours."""
    taken = await conn.execute(
        "with marked as (select distinct hour from hour_mark where tenant_id = %(tenant_id)s"
        "   order by hour limit %(limit)s),"
        " removed as (delete from hour_mark m using marked"
        "   where m.tenant_id = %(tenant_id)s and m.hour = marked.hour)"
        " select hour from marked order by hour",
        {"tenant_id": tenant_id, "limit": limit},
    )
    return [row[0] for row in await taken.fetchall()]


async def derive(conn: FleetConnection, spans: Spans) -> None:
    """Writes what the facts say of the hours in the spans, which begin and end with hours."""
    for forget, insert in zip(_FORGET, _DERIVE, strict=True):
        await conn.execute(forget, spans.parameters)
        # A plan for these spans: one for any would read all facts of the tenant.
        await conn.execute(insert, spans.parameters, prepare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HourDifferenceRow:
    """Sums that are not what the facts say; as JSON objects of ids and figures, None for none."""

    hour: datetime
    sums: str
    stored: str | None
    derived: str | None


async def differences(conn: FleetConnection, spans: Spans) -> list[HourDifferenceRow]:
    """The sums in the spans that are not what the facts say."""
    async with conn.cursor(row_factory=class_row(HourDifferenceRow)) as cursor:
        await cursor.execute(_DIFFERENCES, spans.parameters, prepare=False)
        return await cursor.fetchall()


async def known_span(conn: FleetConnection, tenant_id: UUID) -> tuple[datetime, datetime] | None:
    """The first and the last hour that there are facts or sums of; None without any."""
    found = await conn.execute(
        "select date_trunc('hour', min(at), 'UTC'), date_trunc('hour', max(at), 'UTC') from ("
        "  select min(occur_time) as at from turn where tenant_id = %(tenant_id)s"
        "  union all select max(occur_time) from turn where tenant_id = %(tenant_id)s"
        "  union all select min(start_time) from conversation where tenant_id = %(tenant_id)s"
        "  union all select max(start_time) from conversation where tenant_id = %(tenant_id)s"
        "  union all select min(create_time) from cost_entry where tenant_id = %(tenant_id)s"
        "  union all select max(create_time) from cost_entry where tenant_id = %(tenant_id)s"
        "  union all select min(hour) from turn_hour where tenant_id = %(tenant_id)s"
        "  union all select max(hour) from turn_hour where tenant_id = %(tenant_id)s"
        "  union all select min(hour) from conversation_hour where tenant_id = %(tenant_id)s"
        "  union all select max(hour) from conversation_hour where tenant_id = %(tenant_id)s"
        "  union all select min(hour) from cost_hour where tenant_id = %(tenant_id)s"
        "  union all select max(hour) from cost_hour where tenant_id = %(tenant_id)s) ends",
        {"tenant_id": tenant_id},
    )
    row = await found.fetchone()
    return None if row is None or row[0] is None else (row[0], row[1])
