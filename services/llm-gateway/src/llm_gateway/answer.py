"""Answering a question from passages: checked, routed, metered, on the ledger."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from uuid import UUID

from fleetkit.errors import InvalidArgument

from llm_gateway.attempts import Attempts, Completed
from llm_gateway.models import MOST_TIERS, Models
from llm_gateway.question import Cited, Question, TextDelta
from llm_gateway.routing import RoutingWeights, is_difficult
from llm_gateway.tenant_keys import TenantKeys

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
class Ladder:
    """Which models may answer beside the question's own, and where to begin.

    `first_tier` above 1 says that the visitor asked again. Of the other questions the planned
    share `difficult_share_millis` begins with the second model.
    """

    next_models: Sequence[str] = ()
    first_tier: int = 0
    difficult_share_millis: int = 0


async def answer(
    attempts: Attempts,
    models: Models,
    keys: TenantKeys,
    routing: RoutingWeights,
    tenant_id: UUID,
    question: Question,
    ladder: Ladder,
) -> AsyncGenerator[TextDelta | Cited | Completed, None]:
    """Deltas and citations as they come, then one `Completed`, sent when the cost is committed.

    `question.model` is "provider/model", or "" for the default. InvalidArgument names the field
    that is wrong; the last provider's errors pass.
    """
    asked = checked(question)
    _check_ladder(ladder)
    own = await keys.of(tenant_id)
    tiers = models.ladder([asked.model, *ladder.next_models], own)
    first, reason = ladder.first_tier, "rephrased"
    if first <= 1 and is_difficult(asked, ladder.difficult_share_millis, routing):
        first, reason = 2, "difficult"
    begun = [tier for tier in tiers if tier.tier >= first] or tiers[-1:]
    if begun[0] is tiers[0]:
        reason = ""
    # Where the better ones are away, one further down is better than none.
    order = [*begun, *reversed([tier for tier in tiers if tier not in begun])]
    async with aclosing(attempts.answer(tenant_id, asked, order, reason)) as pieces:
        async for piece in pieces:
            yield piece


def _check_ladder(ladder: Ladder) -> None:
    if not 0 <= ladder.first_tier <= MOST_TIERS:
        raise InvalidArgument(f"first_tier is 0–{MOST_TIERS}", field="first_tier")
    if not 0 <= ladder.difficult_share_millis <= 1000:
        raise InvalidArgument("difficult_share_millis is 0–1,000", field="difficult_share_millis")


def checked(question: Question) -> Question:
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
