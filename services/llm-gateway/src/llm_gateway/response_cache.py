"""The exact response cache: the same question, asked of the same, is answered for nothing.

The key is a hash of everything that an answer is made from: question (normalised), instructions,
history, what the screen says, passages with their texts, model and limits. So an answer is only
given again where the model would have been sent the same; the version of an agent or of the
knowledge is in it by what it changes. Published agents and changed knowledge also empty it.
"""

import hashlib
import unicodedata
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from fleetkit import context
from fleetkit.clock import Clock
from fleetkit.postgres import Database
from fleetkit.telemetry import counter

from llm_gateway.answer import Ladder
from llm_gateway.attempts import Completed
from llm_gateway.ledger import Ledger
from llm_gateway.metering import Spawn
from llm_gateway.question import Cited, FinishReason, Question, TextDelta
from llm_gateway.store import responses as store
from llm_gateway.store.responses import Origin, ResponseRow

_MAX_ANSWER_BYTES = 64_000
Answered = TextDelta | Cited | Completed


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """How long an answer may be given again, and how many a tenant keeps; 0 keeps none."""

    ttl_s: float
    most_per_tenant: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with the ladder of models that may answer it."""

    question: Question
    ladder: Ladder


class ResponseCache:
    """Answers kept in the database; `default_model` stands for a question that names none."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        ledger: Ledger,
        spawn: Spawn,
        default_model: str,
        limits: CacheLimits,
    ) -> None:
        self._db = db
        self._clock = clock
        self._ledger = ledger
        self._spawn = spawn
        self._default_model = default_model
        self._limits = limits
        self._asked = counter(
            "fleetdesk_llm_response_cache", "Questions that the cache was asked for.", ("result",)
        )

    async def answer(
        self,
        tenant_id: UUID,
        asked: Asked,
        write: Callable[[], AsyncGenerator[Answered, None]],
    ) -> AsyncGenerator[Answered, None]:
        """The answer that is there, on the ledger at no cost; else what `write` writes, kept.

        Only whole answers are kept, never a refusal or a part.
        """
        question = asked.question
        is_off = not question.response_cache or not self._limits.most_per_tenant
        # Whoever asks again was not content with the answer that is kept.
        if is_off or asked.ladder.first_tier > 1:
            async with aclosing(write()) as pieces:
                async for piece in pieces:
                    yield piece
            return
        cache_key = key_of(asked, self._default_model)
        found = await self._find(tenant_id, cache_key)
        self._asked.labels("hit" if found else "miss").inc()
        if found is not None:
            async for piece in self._again(tenant_id, question, found):
                yield piece
            return
        text: list[str] = []
        cited: list[Cited] = []
        async with aclosing(write()) as pieces:
            async for piece in pieces:
                # Whoever waits comes first: an answer is kept once its end is on its way.
                yield piece
                match piece:
                    case TextDelta():
                        text.append(piece.text)
                    case Cited():
                        cited.append(piece)
                    case Completed():
                        self._keep_later(tenant_id, cache_key, "".join(text), cited, piece)

    async def _find(self, tenant_id: UUID, cache_key: bytes) -> ResponseRow | None:
        return await store.find_response(self._db, tenant_id, cache_key, self._clock.now())

    async def _again(
        self, tenant_id: UUID, question: Question, found: ResponseRow
    ) -> AsyncGenerator[Answered, None]:
        passages = {passage.chunk_id: passage for passage in question.passages}
        yield TextDelta(found.answer)
        for each in found.citations:
            yield Cited(
                passages[each["chunk_id"]],
                each["start"],
                each["end"],
                each["answer_start"],
                each["answer_end"],
            )
        call_id = await self._ledger.record_hit(
            tenant_id, found.model, found.saved_nanos, found.baseline_nanos
        )
        yield Completed(FinishReason.COMPLETE, found.support, found.model, call_id, found.tier, "")

    def _keep_later(
        self,
        tenant_id: UUID,
        cache_key: bytes,
        answer: str,
        cited: list[Cited],
        completed: Completed,
    ) -> None:
        """Keeps an answer beside the request, which does not wait for it."""
        if completed.reason is not FinishReason.COMPLETE or not cited:
            return
        if len(answer.encode()) > _MAX_ANSWER_BYTES:
            return
        kept = ResponseRow(
            model=completed.model,
            answer=answer,
            citations=[_citation(each) for each in cited],
            support=completed.support,
            tier=completed.tier,
        )
        keeping = self._keep(tenant_id, cache_key, kept, completed.call_id)
        self._spawn(keeping, "keep_response")

    async def _keep(
        self,
        tenant_id: UUID,
        cache_key: bytes,
        kept: ResponseRow,
        call_id: UUID,
    ) -> None:
        now = self._clock.now()
        whose = context.current().attribution
        origin = Origin(
            call_id=call_id,
            agent_id=whose.agent_id,
            visitor_id=whose.visitor_id,
            conversation_id=whose.conversation_id,
            create_time=now,
            expire_time=now + timedelta(seconds=self._limits.ttl_s),
        )
        most = self._limits.most_per_tenant
        await store.keep_response(self._db, tenant_id, cache_key, kept, origin, most)


def key_of(asked: Asked, default_model: str) -> bytes:
    """SHA-256 of all fields of a question, whatever fields there will be.

    The text is normalised; passages count by their texts and order, not by their scores, which
    a question's spelling moves.
    """
    question = replace(
        asked.question,
        text=normalised(asked.question.text),
        model=asked.question.model or default_model,
        passages=tuple(replace(passage, score=0.0) for passage in asked.question.passages),
    )
    ladder = (*asked.ladder.next_models,), asked.ladder.difficult_share_millis
    # Fields in their order, texts quoted: no two questions are written alike.
    return hashlib.sha256(repr((question, ladder)).encode()).digest()


def normalised(text: str) -> str:
    """The question without what does not change it: case, spacing, marks at its end."""
    words = unicodedata.normalize("NFKC", text).casefold().split()
    return " ".join(words).rstrip(" ?!.…")


def _citation(cited: Cited) -> dict[str, Any]:
    return {
        "chunk_id": cited.passage.chunk_id,
        "start": cited.start,
        "end": cited.end,
        "answer_start": cited.answer_start,
        "answer_end": cited.answer_end,
    }
