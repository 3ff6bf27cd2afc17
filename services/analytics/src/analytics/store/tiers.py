"""SQL of the answers by the tier of the model ladder that gave them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRow:
    """The turns that a tier ended, and all that the ledger has for them."""

    tier: int
    answers: int
    amount_nanos: int


async def count_tiers(
    conn: FleetConnection,
    tenant_id: UUID,
    start_time: datetime,
    end_time: datetime,
    agent_id: UUID | None,
) -> list[TierRow]:
    """By tier; turns that no model was asked in have none and are left out."""
    async with conn.cursor(row_factory=class_row(TierRow)) as cursor:
        await cursor.execute(
            "select t.tier, count(*) as answers,"
            "  coalesce(sum(c.amount_nanos), 0)::bigint as amount_nanos"
            " from turn t left join lateral ("
            "  select sum(amount_nanos) as amount_nanos from cost_entry"
            "  where tenant_id = %(tenant_id)s and message_id = t.message_id) c on true"
            " where t.tenant_id = %(tenant_id)s and t.tier > 0"
            "  and t.occur_time >= %(start_time)s and t.occur_time < %(end_time)s"
            "  and (%(agent_id)s::uuid is null or t.agent_id = %(agent_id)s)"
            " group by t.tier order by t.tier",
            {
                "tenant_id": tenant_id,
                "start_time": start_time,
                "end_time": end_time,
                "agent_id": agent_id,
            },
        )
        return await cursor.fetchall()
