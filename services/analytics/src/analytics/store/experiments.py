"""SQL of the turns that took part in experiments."""

from dataclasses import dataclass
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedRow:
    """A row of `experiment_turn`."""

    tenant_id: UUID
    message_id: UUID
    experiment_id: UUID
    conversation_id: UUID
    challenger: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SumsRow:
    """Of one measure of an arm over its conversations, whose turns number n and sum up to y.

    `sum_yy` is the sum of y × y, and so on.
    """

    challenger: bool
    measure: str
    conversations: int
    turns: int
    sum_y: float
    sum_yy: float
    sum_yn: float
    sum_nn: float


async def insert_assigned(conn: FleetConnection, row: AssignedRow) -> None:
    """Notes the arm of a turn, unless it is noted."""
    await conn.execute(
        "insert into experiment_turn"
        "  (tenant_id, message_id, experiment_id, conversation_id, challenger)"
        " values (%s, %s, %s, %s, %s) on conflict do nothing",
        [row.tenant_id, row.message_id, row.experiment_id, row.conversation_id, row.challenger],
    )


async def sums(conn: FleetConnection, tenant_id: UUID, experiment_id: UUID) -> list[SumsRow]:
    """By arm and measure, of the turns that ended and were not canceled."""
    async with conn.cursor(row_factory=class_row(SumsRow)) as cursor:
        await cursor.execute(
            "with per_conversation as ("
            "  select e.challenger, e.conversation_id, m.measure, count(*) as n,"
            "   sum(m.value)::float8 as y"
            "  from experiment_turn e"
            "  join turn t on t.tenant_id = %(tenant_id)s and t.message_id = e.message_id"
            "   and t.status <> 'canceled'"
            "  left join lateral (select coalesce(sum(amount_nanos), 0) as nanos from cost_entry"
            "   where tenant_id = %(tenant_id)s and message_id = e.message_id) c on true"
            "  cross join lateral (values ('answered', (t.outcome = 'answered')::int::numeric),"
            "   ('handed_over', (t.outcome = 'handoff')::int::numeric),"
            "   ('relevance', t.relevance_millis / 1000.0), ('citations', t.citation_count),"
            "   ('duration_ms', t.duration_ms), ('cost', c.nanos)) m (measure, value)"
            "  where e.tenant_id = %(tenant_id)s and e.experiment_id = %(experiment_id)s"
            "  group by 1, 2, 3)"
            " select challenger, measure, count(*) as conversations, sum(n)::bigint as turns,"
            "  sum(y) as sum_y, sum(y * y) as sum_yy, sum(y * n) as sum_yn,"
            "  sum(n * n)::float8 as sum_nn"
            " from per_conversation group by 1, 2",
            {"tenant_id": tenant_id, "experiment_id": experiment_id},
        )
        return await cursor.fetchall()
