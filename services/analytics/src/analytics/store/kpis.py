"""SQL of the key figures."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, LiteralString
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

from analytics.store.hours import CONVERSATIONS, TURNS, Parts

Width = Literal["hour", "day"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A period, end exclusive, of one agent or (None) of all."""

    start_time: datetime
    end_time: datetime
    agent_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The parts of a period to add up by hours or days, of one agent or (None) of all."""

    parts: Parts
    agent_id: UUID | None
    width: Width

    @property
    def parameters(self) -> dict[str, object]:
        """As the statements' parameters."""
        return {
            **self.parts.edges.parameters,
            "first": self.parts.first,
            "last": self.parts.last,
            "agent_id": self.agent_id,
            "width": self.width,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationsRow:
    """Conversations that began in a bucket, of one outcome and reason of a hand-off."""

    bucket: datetime
    outcome: str
    handoff_reason: str
    total: int
    closed: int
    amount_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnsRow:
    """Turns that ended in a bucket.

    `confidence_millis` is the sum over the answered; times are 4 bytes each, big-endian, in ms.
    """

    bucket: datetime
    total: int
    answered: int
    clarify: int
    handoff: int
    canceled: int
    failed: int
    confidence_millis: int
    first_token_ms: bytes
    duration_ms: bytes


_READ_CONVERSATIONS: LiteralString = f"""
  select date_trunc(%(width)s, hour, 'UTC') as bucket, outcome, handoff_reason,
    sum(total)::bigint as total, sum(closed)::bigint as closed,
    sum(amount_nanos)::bigint as amount_nanos
  from (select * from conversation_hour where tenant_id = %(tenant_id)s
      and hour >= %(first)s and hour < %(last)s
    union all ({CONVERSATIONS})) sums
  where %(agent_id)s::uuid is null or agent_id = %(agent_id)s
  group by 1, 2, 3 order by 1, 2, 3"""  # noqa: S608 - made of literals only
_READ_TURNS: LiteralString = f"""
  select date_trunc(%(width)s, hour, 'UTC') as bucket,
    sum(total)::bigint as total, sum(answered)::bigint as answered,
    sum(clarify)::bigint as clarify, sum(handoff)::bigint as handoff,
    sum(canceled)::bigint as canceled, sum(failed)::bigint as failed,
    sum(confidence_millis)::bigint as confidence_millis,
    string_agg(first_token_ms, ''::bytea) as first_token_ms,
    string_agg(duration_ms, ''::bytea) as duration_ms
  from (select * from turn_hour where tenant_id = %(tenant_id)s
      and hour >= %(first)s and hour < %(last)s
    union all ({TURNS})) sums
  where %(agent_id)s::uuid is null or agent_id = %(agent_id)s
  group by 1 order by 1"""  # noqa: S608 - made of literals only


async def conversation_sums(conn: FleetConnection, wanted: Wanted) -> list[ConversationsRow]:
    """The conversations by bucket, outcome and reason, in order; buckets without any are left out.

    The hours are derived before (`analytics.hours.refresh`).
    """
    async with conn.cursor(row_factory=class_row(ConversationsRow)) as cursor:
        await cursor.execute(_READ_CONVERSATIONS, wanted.parameters, prepare=False)
        return await cursor.fetchall()


async def turn_sums(conn: FleetConnection, wanted: Wanted) -> list[TurnsRow]:
    """The turns by bucket, in order; buckets without any are left out.

    The hours are derived before (`analytics.hours.refresh`).
    """
    async with conn.cursor(row_factory=class_row(TurnsRow), binary=True) as cursor:
        await cursor.execute(_READ_TURNS, wanted.parameters, prepare=False)
        return await cursor.fetchall()
