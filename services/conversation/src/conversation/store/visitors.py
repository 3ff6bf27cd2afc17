"""SQL of visitors, and of what belongs to one."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class VisitorRow:
    """A visitor and its conversations, oldest first."""

    create_time: datetime
    conversation_ids: list[UUID]


async def get_visitor(
    conn: FleetConnection, tenant_id: UUID, visitor_id: UUID, limit: int
) -> VisitorRow | None:
    """A visitor with at most `limit` of its conversations, read in one statement."""
    async with conn.cursor(row_factory=class_row(VisitorRow)) as cursor:
        await cursor.execute(
            "select v.create_time, array(select c.conversation_id from conversation c"
            "   where c.tenant_id = %(tenant_id)s and c.visitor_id = %(visitor_id)s"
            "   order by c.create_time, c.conversation_id limit %(limit)s) as conversation_ids"
            " from visitor v where v.tenant_id = %(tenant_id)s and v.visitor_id = %(visitor_id)s",
            {"tenant_id": tenant_id, "visitor_id": visitor_id, "limit": limit},
        )
        return await cursor.fetchone()
