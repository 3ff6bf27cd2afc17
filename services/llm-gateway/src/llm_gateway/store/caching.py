"""SQL of prompt caching: when an agent's requests came."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class Use:
    """A request that was made: when, and in which conversation."""

    create_time: datetime
    conversation_id: UUID | None


async def recent_uses(
    conn: FleetConnection, tenant_id: UUID, agent_id: UUID, model: str, limit: int
) -> list[Use]:
    """An agent's latest requests for answers to a model ("provider/model"), in order of time."""
    provider, _, name = model.partition("/")
    async with conn.cursor(row_factory=class_row(Use)) as cursor:
        await cursor.execute(
            "select create_time, conversation_id from ("
            "  select create_time, conversation_id from usage_call"
            "  where tenant_id = %(tenant_id)s and agent_id = %(agent_id)s"
            "   and provider = %(provider)s and model = %(model)s and operation = 'answer'"
            "   and status <> 'failed'"
            "  order by create_time desc limit %(limit)s) as latest"
            " order by create_time",
            {
                "tenant_id": tenant_id,
                "agent_id": agent_id,
                "provider": provider,
                "model": name,
                "limit": limit,
            },
        )
        return await cursor.fetchall()
