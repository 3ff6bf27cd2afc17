"""SQL of questions that the knowledge decided."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row

_MOST_EARLIER = 5


@dataclass(frozen=True, slots=True)
class DecidedRow:
    """A question with what was found for it.

    `asked_back`: whether the agent had just done so; `earlier`: the visitor's last texts before,
    newest first.
    """

    conversation_id: UUID
    message_id: UUID
    question: str
    relevance: float
    passages: list[dict[str, Any]]
    asked_back: bool
    earlier: list[str]
    create_time: datetime


async def latest_decided(
    conn: FleetConnection,
    tenant_id: UUID,
    agent_id: UUID,
    *,
    limit: int,
    among: int,
    question_chars: int,
) -> list[DecidedRow]:
    """The agent's latest, newest first, as far as they are `among` the tenant's latest answers.

    Small talk, what somebody asked a person for, what the plan did not allow and what was only
    tried are none.
    """
    async with conn.cursor(row_factory=class_row(DecidedRow)) as cursor:
        await cursor.execute(
            "select m.conversation_id, m.message_id, left(q.text, %(chars)s) as question,"
            "  m.relevance, m.passages, q.create_time,"
            "  coalesce((select b.outcome = 'clarify' from message b"
            "   where b.tenant_id = %(tenant_id)s and b.conversation_id = m.conversation_id"
            "    and b.number < m.number and b.role = 'agent' order by b.number desc limit 1),"
            "   false) as asked_back,"
            "  array(select left(e.text, %(chars)s) from message e"
            "   where e.tenant_id = %(tenant_id)s and e.conversation_id = m.conversation_id"
            "    and e.number < q.number and e.role = 'visitor'"
            "   order by e.number desc limit %(most_earlier)s) as earlier"
            " from (select conversation_id, message_id, question_id, number, outcome, relevance,"
            "   handoff_reason, passages from message"
            "  where tenant_id = %(tenant_id)s and role = 'agent' and status = 'completed'"
            "  order by message_id desc limit %(among)s) m"
            "  join conversation c on c.conversation_id = m.conversation_id"
            "  join message q on q.message_id = m.question_id"
            " where c.tenant_id = %(tenant_id)s and q.tenant_id = %(tenant_id)s"
            "  and c.agent_id = %(agent_id)s and c.agent_version is not null"
            "  and (m.handoff_reason = 'missing_knowledge'"
            "   or m.handoff_reason in ('unspecified', 'low_confidence') and m.passages <> '[]')"
            " order by m.message_id desc limit %(limit)s",
            {
                "tenant_id": tenant_id,
                "agent_id": agent_id,
                "limit": limit,
                "among": among,
                "chars": question_chars,
                "most_earlier": _MOST_EARLIER,
            },
        )
        return await cursor.fetchall()
