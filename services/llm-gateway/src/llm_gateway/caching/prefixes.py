"""How many tokens stand before the history of an agent's prompts, by their provider's own count.

The planner of caching wants to know whether they reach a model's minimum, and a reservation need
not take them for a token a byte. Nobody waits for it: the provider is asked once, beside the
answers.
"""

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from uuid import UUID

from llm_gateway.metering import Spawn
from llm_gateway.question import AnswerProvider, Question

# Shorter instructions make no difference to a budget, and reach no cache's minimum.
_LEAST_CHARS = 1_000
_MOST_PREFIXES = 2_000
_MOST_AT_ONCE = 4
_AGAIN_S = 600.0


@dataclass(slots=True)
class _Prefix:
    """`tokens` is 0 until they are known; until `again_at` nobody is asked again."""

    tokens: int
    again_at: float


class PrefixCounts:
    """Tokens of what stands before the history of agents' prompts: tools and instructions.

    Kept by a hash, for the 2,000 that were used last.
    """

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._known: OrderedDict[bytes, _Prefix] = OrderedDict()
        self._counting = 0

    def tokens(
        self, tenant_id: UUID, model: str, provider: AnswerProvider, question: Question
    ) -> int:
        """Of the question's prefix for "provider/model"; 0 while that is not known.

        Where it is not, the provider is asked in the background, for the next time.
        """
        if len(question.instructions) < _LEAST_CHARS:
            return 0
        key = _key(tenant_id, model, question.instructions)
        known = self._known.setdefault(key, _Prefix(0, 0.0))
        self._known.move_to_end(key)
        if len(self._known) > _MOST_PREFIXES:
            self._known.popitem(last=False)
        now = time.monotonic()
        if known.again_at <= now and self._counting < _MOST_AT_ONCE:
            known.again_at = now + _AGAIN_S
            self._spawn(self._count(known, model, provider, question), "count_prefix")
        return known.tokens

    async def _count(
        self, known: _Prefix, model: str, provider: AnswerProvider, question: Question
    ) -> None:
        name = model.partition("/")[2]
        # The least that can stand behind it.
        bare = replace(
            question, model=name, history=(), passages=(), text=".", screen_text="", shown=""
        )
        self._counting += 1
        try:
            counted = await provider.count(bare)
        finally:
            self._counting -= 1
        if counted is not None:
            known.tokens, known.again_at = counted, float("inf")


def _key(tenant_id: UUID, model: str, instructions: str) -> bytes:
    digest = hashlib.blake2b(tenant_id.bytes, digest_size=16)
    digest.update(model.encode() + b"\0" + instructions.encode())
    return digest.digest()
