"""Telling memory what was said: from a durable job, until memory has taken it."""

from fleetdesk.memory.v1 import memory_service_pb2 as memory_pb
from fleetkit.context import Attribution, attributed
from fleetkit.jobs import Job

from conversation.deps import Deps
from conversation.gathering import memory_turn
from conversation.store import messages
from conversation.store.messages import MessageRow, UntakenRow

_TIMEOUT_S = 5.0


async def record_turn(deps: Deps, job: Job) -> None:
    """Gives memory a message and the question that it answers; raises when it does not take them.

    Then it is tried again. What is gone, or memory has, is nothing to do.
    """
    async with deps.db.tenant(job.tenant_id) as conn:
        rows = await messages.untaken(conn, job.tenant_id, job.subject_id)
    if not rows:
        return
    last = rows[-1]
    attribution = Attribution(
        purpose="memory",
        message_id=last.message.message_id,
        conversation_id=last.message.conversation_id,
        agent_id=last.agent_id,
        visitor_id=last.visitor_id,
    )
    with attributed(attribution):
        await _give(deps, last, [row.message for row in rows])
    async with deps.db.tenant(job.tenant_id) as conn:
        taken = [row.message.message_id for row in rows]
        await messages.mark_in_memory(conn, job.tenant_id, taken)


async def _give(deps: Deps, whose: UntakenRow, said: list[MessageRow]) -> None:
    """Gives messages at once; one by one to a memory from before it took more than one."""
    first, *more = (memory_turn(row) for row in said)
    request = memory_pb.RecordTurnRequest(
        conversation_id=str(whose.message.conversation_id),
        visitor_id=str(whose.visitor_id),
        turn=first,
        more_turns=more,
    )
    answered = await deps.neighbours.memory.RecordTurn(request, timeout=_TIMEOUT_S)
    if more and not answered.turn_count:
        for turn in more:
            request.turn.CopyFrom(turn)
            del request.more_turns[:]
            await deps.neighbours.memory.RecordTurn(request, timeout=_TIMEOUT_S)
