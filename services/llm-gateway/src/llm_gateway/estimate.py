"""The most that one answer can cost, by the attempts of a ladder, before any call is made."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from llm_gateway.pricing import PROMPT, Period, Unit, amount_nanos
from llm_gateway.question import Passage, Question, Turn

# The largest turn that conversation sends: five passages of 1,000 tokens, a window of 2,048
# tokens, the longest question, and a screen's text. Bounds count a token for each byte.
_BYTES_PER_TOKEN = 4
_PASSAGES = 5
_PASSAGE_TOKENS = 1_000
_HISTORY_TOKENS = 2_048
_QUESTION_BYTES = 16_000
_SCREEN_CHARS = 4_000
_INPUTS = (Unit.INPUT, Unit.CACHE_WRITE_5M, Unit.CACHE_WRITE_1H)


@dataclass(frozen=True, slots=True)
class TierEstimate:
    """The bound of one attempt."""

    tier: int
    model: str
    most_nanos: int


def largest(agent: Question, *, screen: bool) -> Question:
    """The largest turn of an agent: of `agent` count instructions, tokens and caching."""
    passage = "x" * (_PASSAGE_TOKENS * _BYTES_PER_TOKEN)
    return replace(
        agent,
        history=(Turn(True, "x" * (_HISTORY_TOKENS * _BYTES_PER_TOKEN)),),
        passages=tuple(Passage(str(n), "", "", (), passage, 0.0) for n in range(_PASSAGES)),
        text="x" * _QUESTION_BYTES,
        screen_text="x" * _SCREEN_CHARS if screen else "",
    )


def bound(period: Period, at_most: Mapping[Unit, int], *, cached: bool) -> int:
    """The dearest that the units can be: all of a cached prompt may have to be written."""
    total = 0
    tiers = period.reachable(sum(at_most.get(kind, 0) for kind in PROMPT))
    for kind, units in at_most.items():
        kinds = _INPUTS if cached and kind in _INPUTS else (kind,)
        prices = [tier.price(each) for tier in tiers for each in kinds if each in tier.prices]
        total += amount_nanos(units, max(prices, default=0))
    return total
