"""How a turn ends: one transaction that closes the message and tells everybody."""

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1 import events_pb2
from fleetdesk.llm_gateway.v1.usage_pb2 import Receipt
from fleetkit import jobs
from fleetkit.telemetry import counter, histogram

from conversation import receipts, replies, wire
from conversation.deps import Deps
from conversation.editing import ConversationChange, Edit, editing
from conversation.intents import language_of
from conversation.store import messages, timeline
from conversation.store.messages import MessageEnd, MessageRow
from conversation.turn import Turn, TurnLost, TurnResult
from conversation.writer import TurnWriter

RECORD_TURN = "record_turn"
_FIRST_TOKEN_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 30.0)


async def complete(
    deps: Deps, turn: Turn, writer: TurnWriter, result: TurnResult, *, asked: bool = True
) -> None:
    """Commits an answer, with its last text, citations, hand-over, receipt, events and jobs.

    The receipt is asked for first, so that the end of the turn is one transaction: before it the
    turn is in flight, after it nothing is missing. Nobody was `asked`: nothing was spent.
    TurnLost when another process closed the turn.
    """
    receipt: Receipt | None = Receipt()
    if asked:
        receipt = await receipts.receipt_of_message(deps.neighbours, turn.message_id)
    async with editing(deps, turn.tenant_id, turn.conversation_id) as edit:
        if edit.row.status == "taken_over":
            # A person was quicker: the agent is silent, and what it had not sent stays unsent.
            await _end_early(edit, turn.message_id, "canceled", "", receipt, deps.owner)
            return
        end = _end_of(turn, writer, result)
        row = await messages.end_message(
            edit.conn, turn.tenant_id, turn.message_id, end, deps.owner
        )
        if row is None:
            raise TurnLost
        events = _Events(edit, row.message_id, writer.sequence)
        if writer.rest:
            events.add(delta=pb.TurnDelta(text=writer.rest))
        if row.citations:
            cited = [pb.MessageCitation(**each) for each in row.citations]
            events.add(citations=pb.TurnCitations(citations=cited))
        outcome = result.outcome if result.counts else None
        edit.change(ConversationChange(last_outcome=outcome))
        if result.outcome == "handoff":
            reason = wire.reason_of(result.handoff_reason)
            events.add(handoff=pb.TurnHandoff(reason=reason))
            edit.request_handoff(result.handoff_reason)
        events.add(finished=pb.TurnFinished(message=_with_receipt(row, receipt)))
        await _tell_others(edit, row)
    _count(row)


async def stop_early(
    deps: Deps, turn: Turn, *, status: str, error_reason: str = "", answer_begun: bool = False
) -> bool:
    """Ends a turn of this process as "canceled" or "failed"; False when it was closed before.

    What was sent is kept, what was spent is on the ledger.
    """
    receipt = await receipts.receipt_of_message(
        deps.neighbours, turn.message_id, answer_begun=answer_begun
    )
    async with editing(deps, turn.tenant_id, turn.conversation_id) as edit:
        try:
            await _end_early(edit, turn.message_id, status, error_reason, receipt, deps.owner)
        except TurnLost:
            return False
    return True


async def close_abandoned(deps: Deps, tenant_id: UUID, message_id: UUID) -> bool:
    """Fails a turn whose process is gone; False when it is not abandoned (any more).

    Needs a call context of that tenant.
    """
    async with deps.db.tenant(tenant_id) as conn:
        row = await messages.get_message(conn, tenant_id, message_id)
        if row is None or not await messages.abandoned_in_flight(conn, tenant_id, message_id):
            return False
    receipt = await receipts.receipt_of_message(deps.neighbours, message_id)
    async with editing(deps, tenant_id, row.conversation_id) as edit:
        if not await messages.abandoned_in_flight(edit.conn, tenant_id, message_id):
            return False
        await _end_early(edit, message_id, "failed", "INTERRUPTED", receipt)
    return True


async def _end_early(
    edit: Edit,
    message_id: UUID,
    status: str,
    error_reason: str,
    receipt: Receipt | None,
    owner: UUID | None = None,
) -> None:
    """Closes an answer with what was sent of it; TurnLost unless `owner`, if given, answers it."""
    stored = await timeline.events_of_message(edit.conn, edit.tenant_id, message_id)
    end = MessageEnd(status=status, text=text_of(stored), error_reason=error_reason)
    row = await messages.end_message(edit.conn, edit.tenant_id, message_id, end, owner)
    if row is None:
        raise TurnLost
    edit.change(ConversationChange())
    events = _Events(edit, message_id, len(stored))
    message = _with_receipt(row, receipt)
    if status == "failed":
        detail = await _detail(edit, row)
        events.add(failed=pb.TurnFailed(reason=error_reason, detail=detail, message=message))
    else:
        events.add(finished=pb.TurnFinished(message=message))
    await _tell_others(edit, row)
    _count(row)


class _Events:
    """Adds events to a message's, numbered on from `sequence`."""

    def __init__(self, edit: Edit, message_id: UUID, sequence: int) -> None:
        self._edit = edit
        self._message_id = message_id
        self._sequence = sequence

    def add(
        self,
        delta: pb.TurnDelta | None = None,
        citations: pb.TurnCitations | None = None,
        handoff: pb.TurnHandoff | None = None,
        finished: pb.TurnFinished | None = None,
        failed: pb.TurnFailed | None = None,
    ) -> None:
        """Adds one event; exactly one of its kinds is given."""
        self._sequence += 1
        self._edit.emit(
            pb.TurnEvent(
                message_id=str(self._message_id),
                sequence=self._sequence,
                delta=delta,
                citations=citations,
                handoff=handoff,
                finished=finished,
                failed=failed,
            )
        )


def text_of(stored: Sequence[bytes]) -> str:
    """The text that a message's stored events add up to."""
    events = (pb.TurnEvent.FromString(event) for event in stored)
    return "".join(event.delta.text for event in events if event.HasField("delta"))


def _end_of(turn: Turn, writer: TurnWriter, result: TurnResult) -> MessageEnd:
    cited = {citation.chunk_id for citation in result.citations}
    passages = tuple(
        {
            "chunk_id": passage.chunk_id,
            "document_id": passage.document_id,
            "title": passage.title,
            "score": passage.score,
            "cited": passage.chunk_id in cited,
        }
        for passage in result.passages
    )
    return MessageEnd(
        status="completed",
        text=writer.text,
        outcome=result.outcome,
        handoff_reason=result.handoff_reason,
        confidence=result.confidence,
        relevance=result.relevance,
        tier=result.tier,
        model=result.model,
        citations=tuple(asdict(citation) for citation in result.citations),
        passages=passages,
        first_token_ms=writer.first_token_ms or turn.elapsed_ms,
    )


def _with_receipt(row: MessageRow, receipt: Receipt | None) -> pb.Message:
    message = wire.message_message(row)
    if receipt is not None:
        message.receipt.CopyFrom(receipt)
    return message


async def _detail(edit: Edit, row: MessageRow) -> str:
    question = None
    if row.question_id is not None:
        question = await messages.get_message(edit.conn, edit.tenant_id, row.question_id)
    language = language_of([question.text] if question else [])
    occasion = "deadline" if row.error_reason == "DEADLINE_EXCEEDED" else "failed"
    return replies.reply(occasion, language)


async def _tell_others(edit: Edit, row: MessageRow) -> None:
    """The bus that the turn ended, and memory what was said: the question and the answer.

    Of a trial nobody is told.
    """
    if edit.row.agent_version is None:
        return
    await jobs.enqueue(edit.conn, edit.tenant_id, RECORD_TURN, row.message_id)
    duration = (row.complete_time or row.create_time) - row.create_time
    edit.publish(
        events_pb2.MessageCompleted(
            conversation_id=str(row.conversation_id),
            message_id=str(row.message_id),
            agent_id=str(edit.row.agent_id),
            agent_version=edit.row.agent_version,
            visitor_id=str(edit.row.visitor_id),
            status=wire.message_status_of(row.status),
            outcome=wire.outcome_of(row.outcome),
            handoff_reason=wire.reason_of(row.handoff_reason),
            confidence_millis=round(row.confidence * 1000),
            relevance_millis=round(row.relevance * 1000),
            citation_count=len(row.citations),
            tier=row.tier,
            first_token_ms=row.first_token_ms,
            duration_ms=int(duration.total_seconds() * 1000),
            # Whatever is answered from the knowledge has passages.
            small_talk=row.outcome == "answered" and not row.passages,
        )
    )


def _count(row: MessageRow) -> None:
    counter(
        "fleetdesk_conversation_turns_total", "Turns by how they ended.", ("status", "outcome")
    ).labels(row.status, row.outcome).inc()
    if row.first_token_ms:
        histogram(
            "fleetdesk_conversation_first_token_seconds",
            "Time from a question to the first text of its answer.",
            buckets=_FIRST_TOKEN_S,
        ).observe(row.first_token_ms / 1000)
