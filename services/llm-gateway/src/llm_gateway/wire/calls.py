"""What is asked and answered, as the protos have it and as ours."""

from collections.abc import Mapping

from fleetdesk.llm_gateway.v1 import budget_pb2
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as settings_pb
from fleetkit.rpc.fields import optional_timestamp, timestamp

from llm_gateway import budgets
from llm_gateway.attempts import Completed
from llm_gateway.breaker import CircuitView
from llm_gateway.health import ModelHealth
from llm_gateway.question import Cited, FinishReason, Passage, Question, TextDelta, Turn
from llm_gateway.wire.rows import to_budget

_REASONS = {
    FinishReason.COMPLETE: pb.FINISH_REASON_COMPLETE,
    FinishReason.UNSUPPORTED: pb.FINISH_REASON_UNSUPPORTED,
    FinishReason.MAX_TOKENS: pb.FINISH_REASON_MAX_TOKENS,
    FinishReason.PARTIAL: pb.FINISH_REASON_PARTIAL,
}
_STATES = {
    "closed": pb.CIRCUIT_STATE_CLOSED,
    "open": pb.CIRCUIT_STATE_OPEN,
    "trying": pb.CIRCUIT_STATE_TRYING,
}


def to_budget_status(status: budgets.BudgetStatus) -> budget_pb2.BudgetStatus:
    """A budget with what stands in its windows."""
    windows = [
        budget_pb2.BudgetWindow(
            target_id="" if status.budget.level == "tenant" else str(window.row.target_id),
            start_date=str(window.row.start_date),
            start_time=timestamp(window.start_time),
            end_time=timestamp(window.end_time),
            spent_nanos=window.row.spent_nanos,
            reserved_nanos=window.row.reserved_nanos,
            forecast_nanos=window.forecast_nanos,
            warned_percent=window.row.warned_percent,
            refuse_time=optional_timestamp(window.row.refuse_time),
        )
        for window in status.windows
    ]
    return budget_pb2.BudgetStatus(
        budget=to_budget(status.budget), windows=windows, window_count=status.window_count
    )


def to_question(request: pb.AnswerRequest) -> Question:
    """What is asked, as a request has it."""
    passages = tuple(
        Passage(
            chunk_id=passage.chunk_id,
            document_id=passage.document_id,
            title=passage.title,
            heading_path=tuple(passage.heading_path),
            text=passage.text,
            score=passage.score,
        )
        for passage in request.passages
    )
    return Question(
        model=request.model,
        instructions=request.instructions,
        history=tuple(Turn(turn.from_visitor, turn.text) for turn in request.history),
        passages=passages,
        text=request.question,
        max_tokens=request.max_tokens,
        temperature_millis=request.temperature_millis,
        prompt_caching=request.prompt_caching,
        screen_text=request.screen_text,
        screen_focus=request.screen_focus,
        response_cache=request.response_cache,
        relevance=request.relevance_millis / 1000,
    )


def to_response(piece: TextDelta | Cited | Completed) -> pb.AnswerResponse:
    """A piece of an answer as it goes out."""
    match piece:
        case TextDelta():
            return pb.AnswerResponse(delta=pb.AnswerDelta(text=piece.text))
        case Cited():
            citation = pb.Citation(
                chunk_id=piece.passage.chunk_id,
                document_id=piece.passage.document_id,
                start=piece.start,
                end=piece.end,
                quote=piece.quote,
                answer_start=piece.answer_start,
                answer_end=piece.answer_end,
            )
            return pb.AnswerResponse(citation=citation)
        case Completed():
            completed = pb.AnswerCompleted(
                finish_reason=_REASONS[piece.reason],
                support=piece.support,
                model=piece.model,
                call_id=str(piece.call_id),
                tier=piece.tier,
                tier_reason=piece.tier_reason,
            )
            return pb.AnswerResponse(completed=completed)


def to_health(health: ModelHealth, circuits: Mapping[str, CircuitView]) -> settings_pb.ModelHealth:
    """How a model fares, with the circuit that keeps it longest from being asked."""
    names = (health.model, health.model.partition("/")[0])
    views = [circuits[name] for name in names if name in circuits]
    # What keeps it longest from being asked decides.
    view = max(views, key=lambda view: (view.state != "closed", view.retry_after_s), default=None)
    return settings_pb.ModelHealth(
        model=health.model,
        calls=health.calls,
        failures=health.failures,
        last_success_time=optional_timestamp(health.last_success_time),
        last_failure_time=optional_timestamp(health.last_failure_time),
        last_reason=health.last_reason,
        p50_ms=health.p50_ms,
        p95_ms=health.p95_ms,
        circuit=_STATES[view.state] if view else pb.CIRCUIT_STATE_CLOSED,
        retry_after_ms=round(view.retry_after_s * 1000) if view else 0,
    )
