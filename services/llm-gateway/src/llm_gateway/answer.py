"""Answering a question from passages: checked, routed, metered, on the ledger."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from uuid import UUID

from fleetkit.errors import InvalidArgument, Unavailable

from llm_gateway.metering import Metered, Metering
from llm_gateway.models import Models
from llm_gateway.question import Cited, Finished, FinishReason, Question, TextDelta

_MAX_PASSAGES = 20
_MAX_QUESTION_BYTES = 16_000
_MAX_PASSAGE_BYTES = 64_000
_MAX_HISTORY = 100
_MAX_TEXT_BYTES = 256_000
_MAX_SCREEN_CHARS = {"screen_text": 4_000, "screen_focus": 400}
_DEFAULT_TOKENS = 1024
_TOKENS = range(100, 4001)
_MAX_TEMPERATURE_MILLIS = 2000


@dataclass(frozen=True, slots=True)
class Completed:
    """The end of an answer that stands on the ledger as `call_id`."""

    reason: FinishReason
    support: float
    model: str
    call_id: UUID


async def answer(
    metering: Metering, models: Models, tenant_id: UUID, question: Question
) -> AsyncGenerator[TextDelta | Cited | Completed, None]:
    """Deltas and citations as they come, then one `Completed`, sent when the cost is committed.

    `question.model` is "provider/model", or "" for the default. InvalidArgument names the field
    that is wrong; the provider's errors pass.
    """
    checked = _checked(question)
    chosen = models.answering(checked.model)
    asked = replace(checked, model=chosen.model)
    finished: Finished | None = None
    at_most = chosen.provider.at_most(asked)
    async with metering.call(tenant_id, "answer", chosen.name, at_most) as metered:
        async with aclosing(chosen.provider.answer(asked, metered.meter)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Finished):
                    finished = piece
                else:
                    yield piece
        ended = _ended(finished, metered, chosen.name)
    yield ended


def _ended(finished: Finished | None, metered: Metered, model: str) -> Completed:
    if finished is None:
        raise Unavailable("the answer broke off", reason="ANSWER_TRUNCATED")
    return Completed(finished.reason, finished.support, model, metered.call.call_id)


def _checked(question: Question) -> Question:
    """The question with defaults filled in; InvalidArgument."""
    _check_texts(question)
    _check_passages(question)
    tokens = question.max_tokens or _DEFAULT_TOKENS
    if tokens not in _TOKENS:
        raise InvalidArgument(
            f"max_tokens is {_TOKENS.start}–{_TOKENS.stop - 1}, or 0 for {_DEFAULT_TOKENS}",
            field="max_tokens",
        )
    if not 0 <= question.temperature_millis <= _MAX_TEMPERATURE_MILLIS:
        raise InvalidArgument(
            f"temperature_millis is 0–{_MAX_TEMPERATURE_MILLIS}", field="temperature_millis"
        )
    return replace(question, max_tokens=tokens)


def _check_texts(question: Question) -> None:
    if not question.text.strip():
        raise InvalidArgument("question is empty", field="question")
    if len(question.text.encode()) > _MAX_QUESTION_BYTES:
        raise InvalidArgument(
            f"question has more than {_MAX_QUESTION_BYTES} bytes; shorten it", field="question"
        )
    for field, limit in _MAX_SCREEN_CHARS.items():
        if len(getattr(question, field)) > limit:
            raise InvalidArgument(f"{field} has more than {limit} characters", field=field)
    if len(question.history) > _MAX_HISTORY:
        raise InvalidArgument(f"history has more than {_MAX_HISTORY} turns", field="history")
    texts = [question.instructions, *(turn.text for turn in question.history)]
    if sum(len(text.encode()) for text in texts) > _MAX_TEXT_BYTES:
        raise InvalidArgument(
            f"instructions and history have more than {_MAX_TEXT_BYTES} bytes", field="history"
        )


def _check_passages(question: Question) -> None:
    if len(question.passages) > _MAX_PASSAGES:
        raise InvalidArgument(
            f"passages has {len(question.passages)} items; the most is {_MAX_PASSAGES}",
            field="passages",
        )
    seen: set[str] = set()
    for index, passage in enumerate(question.passages):
        field = f"passages[{index}]"
        if not passage.chunk_id or not passage.document_id:
            raise InvalidArgument(f"{field} has no chunk_id or no document_id", field=field)
        if passage.chunk_id in seen:
            raise InvalidArgument(f"{field} stands twice", field=f"{field}.chunk_id")
        if len(passage.text.encode()) > _MAX_PASSAGE_BYTES:
            raise InvalidArgument(
                f"{field}.text has more than {_MAX_PASSAGE_BYTES} bytes", field=f"{field}.text"
            )
        if passage.score != passage.score or abs(passage.score) == float("inf"):
            raise InvalidArgument(f"{field}.score is not a number", field=f"{field}.score")
        seen.add(passage.chunk_id)
