"""Telling memory what was said: from a durable job, until memory has taken it."""

from collections.abc import Sequence

from fleetdesk.memory.v1 import memory_service_pb2 as memory_pb
from fleetkit.context import Attribution, attributed
from fleetkit.jobs import Job

from conversation.deps import Deps
from conversation.gathering import memory_turn
from conversation.store import untaken as store
from conversation.store.untaken import UntakenRow

_TIMEOUT_S = 5.0


async def record_turn(deps: Deps, job: Job) -> None:
    """Gives memory a message and the question that it answers; raises when it does not take them.

    Then it is tried again. What is gone, or memory has, is nothing to do.
    """
    rows = await store.untaken(deps.db, job.tenant_id, job.subject_id)
    if not rows:
        return
    last = rows[-1]
    attribution = Attribution(
        purpose="memory",
        message_id=last.message_id,
        conversation_id=last.conversation_id,
        agent_id=last.agent_id,
        visitor_id=last.visitor_id,
    )
    with attributed(attribution):
        await _give(deps, rows)
    await store.mark_in_memory(deps.db, job.tenant_id, [row.message_id for row in rows])


async def _give(deps: Deps, rows: Sequence[UntakenRow]) -> None:
    """Gives messages at once; one by one to a memory from before it took more than one."""
    first, *more = (memory_turn(row) for row in rows)
    request = memory_pb.RecordTurnRequest(
        conversation_id=str(rows[0].conversation_id),
        visitor_id=str(rows[0].visitor_id),
        turn=first,
        more_turns=more,
    )
    answered = await deps.neighbours.memory.RecordTurn(request, timeout=_TIMEOUT_S)
    if answered.turn_count:
        return
    del request.more_turns[:]
    for turn in more:
        request.turn.CopyFrom(turn)
        await deps.neighbours.memory.RecordTurn(request, timeout=_TIMEOUT_S)
