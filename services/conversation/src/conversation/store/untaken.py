"""SQL of what memory has not taken yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import Database
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class UntakenRow:
    """A message that memory is to take, with whose it is."""

    agent_id: UUID
    visitor_id: UUID
    conversation_id: UUID
    message_id: UUID
    role: str
    text: str
    create_time: datetime


async def untaken(db: Database, tenant_id: UUID, message_id: UUID) -> list[UntakenRow]:
    """What memory has not taken of a message and the question that it answers, oldest first.

    What was not said to its end, or says nothing, is not for memory.
    """
    return await db.read(
        tenant_id,
        class_row(UntakenRow),
        "select agent_id, visitor_id, conversation_id, said.message_id, said.role, said.text,"
        "  said.create_time"
        " from message asked join message said using (tenant_id, conversation_id)"
        " join conversation using (tenant_id, conversation_id)"
        " where asked.tenant_id = tenant.id and asked.message_id = %(message_id)s"
        "  and said.message_id in (asked.message_id, asked.question_id)"
        "  and not said.in_memory and said.text <> ''"
        "  and said.status in ('completed', 'canceled')"
        " order by said.number",
        {"message_id": message_id},
    )


async def mark_in_memory(db: Database, tenant_id: UUID, message_ids: Sequence[UUID]) -> None:
    """Records that memory has taken the messages. Idempotent."""
    await db.call(
        tenant_id,
        "select taken_by_memory(%(tenant_id)s, %(message_ids)s) from tenant",
        {"tenant_id": tenant_id, "message_ids": list(message_ids)},
    )
