"""Telling memory what was said: from a durable job, until memory has taken it."""

from fleetdesk.memory.v1 import memory_service_pb2 as memory_pb
from fleetkit.context import Attribution, attributed
from fleetkit.jobs import Job

from conversation.deps import Deps
from conversation.gathering import memory_turn
from conversation.store import conversations, messages

_TIMEOUT_S = 5.0


async def record_turn(deps: Deps, job: Job) -> None:
    """Gives one message to memory; raises when memory does not take it, to be tried again.

    A message that is gone, or memory has, is nothing to do.
    """
    async with deps.db.tenant(job.tenant_id) as conn:
        row = await messages.get_message(conn, job.tenant_id, job.subject_id)
        if row is None or row.in_memory or not row.text:
            return
        conversation = await conversations.get_conversation(
            conn, job.tenant_id, row.conversation_id
        )
    if conversation is None:
        return
    attribution = Attribution(
        purpose="memory",
        message_id=row.message_id,
        conversation_id=row.conversation_id,
        agent_id=conversation.agent_id,
        visitor_id=conversation.visitor_id,
    )
    request = memory_pb.RecordTurnRequest(
        conversation_id=str(row.conversation_id),
        visitor_id=str(conversation.visitor_id),
        turn=memory_turn(row),
    )
    with attributed(attribution):
        await deps.neighbours.memory.RecordTurn(request, timeout=_TIMEOUT_S)
    async with deps.db.tenant(job.tenant_id) as conn:
        await messages.mark_in_memory(conn, job.tenant_id, row.message_id)
