"""SQL of the key figures."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

Width = Literal["hour", "day"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A period, end exclusive, of one agent or (None) of all."""

    start_time: datetime
    end_time: datetime
    agent_id: UUID | None = None

    def parameters(self, tenant_id: UUID) -> dict[str, Any]:
        """As the statements' parameters."""
        return asdict(self) | {"tenant_id": tenant_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationsRow:
    """Conversations that began in a bucket; `bucket` is None for the whole period."""

    bucket: datetime | None
    total: int = 0
    handed_over: int = 0
    answered_alone: int = 0
    clarify: int = 0
    unanswered: int = 0
    closed: int = 0
    amount_nanos: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnsRow:
    """Turns that ended in a bucket; percentiles [50, 95, 99] in ms, None without values."""

    bucket: datetime | None
    total: int = 0
    answered: int = 0
    clarify: int = 0
    handoff: int = 0
    canceled: int = 0
    failed: int = 0
    timed: int = 0
    mean_confidence_millis: int = 0
    first_token_ms: list[int] | None = None
    duration_ms: list[int] | None = None


async def count_conversations(
    conn: FleetConnection, tenant_id: UUID, period: Period, width: Width
) -> list[ConversationsRow]:
    """The buckets with conversations, in order, and the whole period as the last row."""
    async with conn.cursor(row_factory=class_row(ConversationsRow)) as cursor:
        await cursor.execute(
            "select bucket, count(*) as total,"
            "  count(*) filter (where outcome = 'handed_over') as handed_over,"
            "  count(*) filter (where outcome = 'answered_alone') as answered_alone,"
            "  count(*) filter (where outcome = 'clarify') as clarify,"
            "  count(*) filter (where outcome = 'unanswered') as unanswered,"
            "  count(*) filter (where status = 'resolved') as closed,"
            "  coalesce(sum(amount_nanos), 0)::bigint as amount_nanos"
            " from (select date_trunc(%(width)s, start_time, 'UTC') as bucket, outcome, status,"
            "   amount_nanos from conversation"
            "  where tenant_id = %(tenant_id)s and outcome <> ''"
            "   and start_time >= %(start_time)s and start_time < %(end_time)s"
            "   and (%(agent_id)s::uuid is null or agent_id = %(agent_id)s)) begun"
            " group by grouping sets ((bucket), ()) order by bucket nulls last",
            period.parameters(tenant_id) | {"width": width},
        )
        return await cursor.fetchall()


async def count_turns(
    conn: FleetConnection, tenant_id: UUID, period: Period, width: Width
) -> list[TurnsRow]:
    """The buckets with turns, in order, and the whole period as the last row.

    Times are of turns that ended well; percentiles by nearest rank (percentile_disc).
    """
    async with conn.cursor(row_factory=class_row(TurnsRow)) as cursor:
        await cursor.execute(
            "select bucket, count(*) as total,"
            "  count(*) filter (where outcome = 'answered') as answered,"
            "  count(*) filter (where outcome = 'clarify') as clarify,"
            "  count(*) filter (where outcome = 'handoff') as handoff,"
            "  count(*) filter (where status = 'canceled') as canceled,"
            "  count(*) filter (where status = 'failed') as failed,"
            "  count(*) filter (where status = 'completed') as timed,"
            "  coalesce(round(avg(confidence_millis) filter (where outcome = 'answered')), 0)::int"
            "   as mean_confidence_millis,"
            "  percentile_disc(array[0.5, 0.95, 0.99]) within group (order by first_token_ms)"
            "   filter (where status = 'completed') as first_token_ms,"
            "  percentile_disc(array[0.5, 0.95, 0.99]) within group (order by duration_ms)"
            "   filter (where status = 'completed') as duration_ms"
            " from (select date_trunc(%(width)s, occur_time, 'UTC') as bucket, outcome, status,"
            "   confidence_millis, first_token_ms, duration_ms from turn"
            "  where tenant_id = %(tenant_id)s"
            "   and occur_time >= %(start_time)s and occur_time < %(end_time)s"
            "   and (%(agent_id)s::uuid is null or agent_id = %(agent_id)s)) ended"
            " group by grouping sets ((bucket), ()) order by bucket nulls last",
            period.parameters(tenant_id) | {"width": width},
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonRow:
    """Conversations that were handed over first for one reason."""

    reason: str
    conversations: int


async def count_reasons(conn: FleetConnection, tenant_id: UUID, period: Period) -> list[ReasonRow]:
    """Why people were asked for, most frequent first."""
    async with conn.cursor(row_factory=class_row(ReasonRow)) as cursor:
        await cursor.execute(
            "select handoff_reason as reason, count(*) as conversations from conversation"
            " where tenant_id = %(tenant_id)s and outcome = 'handed_over'"
            "  and start_time >= %(start_time)s and start_time < %(end_time)s"
            "  and (%(agent_id)s::uuid is null or agent_id = %(agent_id)s)"
            " group by 1 order by 2 desc, 1",
            period.parameters(tenant_id),
        )
        return await cursor.fetchall()
