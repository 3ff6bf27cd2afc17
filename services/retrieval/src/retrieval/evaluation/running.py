"""The run of an evaluation: one question after the other, each settled by itself.

It works beside searches that people wait for, so it rests as long as each question took, and has a
turn only before it lets other tenants' runs have theirs. A process that is killed loses the
question in its hands and no other.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from fleetkit import jobs
from fleetkit.context import Attribution, attributed
from fleetkit.errors import FleetError, Unavailable
from fleetkit.jobs import Job
from fleetkit.postgres import Database

from retrieval.evaluation import arms, figures
from retrieval.evaluation.evaluations import EVALUATE
from retrieval.evaluation.measures import first_rank
from retrieval.index.reranking import DEPTH, Reranker
from retrieval.index.search import Searcher
from retrieval.store import evaluations as store
from retrieval.store.evaluations import EvaluationRow, QuestionRow

# What a search returns at the most; deeper candidates change no measure.
_CANDIDATES = 50
_LONGEST_REST_S = 1.0
_GAVE_UP = (
    "The evaluation could not go on because another part of the system kept failing. Run it again; "
    "if that fails too, tell your operator."
)


@dataclass(frozen=True, slots=True)
class _Found:
    """What one question's search says of each arm."""

    orders: dict[str, list[UUID]]
    relevance: float
    knowledge_version: int
    embedding_model: str
    is_reranked: bool


class Evaluations:
    """The handler of evaluation jobs; its reranker is its own, so that failures stay its own."""

    def __init__(
        self, db: Database, searcher: Searcher, reranker: Reranker, *, turn_s: float
    ) -> None:
        self._db = db
        self._searcher = searcher
        self._reranker = reranker
        self._turn_s = turn_s

    async def run(self, job: Job) -> None:
        """Takes one turn of the run, beginning or continuing it."""
        until = time.monotonic() + self._turn_s
        while (question := await self._next(job.tenant_id, job.subject_id)) is not None:
            begun = time.monotonic()
            with attributed(Attribution(purpose="eval")):
                found = await self._search(job.tenant_id, question)
            await self._settle(job.tenant_id, job.subject_id, question, found)
            if time.monotonic() >= until:
                async with self._db.tenant(job.tenant_id) as conn:
                    await jobs.enqueue(conn, job.tenant_id, EVALUATE, job.subject_id)
                return
            await asyncio.sleep(min(time.monotonic() - begun, _LONGEST_REST_S))
        await self._finish(job.tenant_id, job.subject_id)

    async def give_up(self, job: Job, error: Exception) -> None:
        """The last attempt failed for a reason that is not the questions'."""
        reason = error.reason if isinstance(error, FleetError) else "INTERNAL"
        async with self._db.tenant(job.tenant_id) as conn:
            await store.end(
                conn,
                job.tenant_id,
                job.subject_id,
                state="failed",
                error=_GAVE_UP,
                error_reason=reason,
                now=conn.now(),
            )

    async def _next(self, tenant_id: UUID, evaluation_id: UUID) -> QuestionRow | None:
        """The next question; None when there is none, or the run was stopped or deleted."""
        async with self._db.tenant(tenant_id) as conn:
            row = await store.get(conn, tenant_id, evaluation_id, lock=True)
            if row is None or row.state not in ("queued", "running"):
                return None
            if row.state == "queued":
                await store.begin(
                    conn,
                    tenant_id,
                    evaluation_id,
                    fusion_version=self._searcher.fusion_version,
                    rerank_model=self._reranker.model,
                    rerank_version=self._reranker.version,
                    now=conn.now(),
                )
            return await store.next_question(conn, tenant_id, evaluation_id)

    async def _search(self, tenant_id: UUID, question: QuestionRow) -> _Found:
        """Raises Unavailable where the whole of a search can't be had: it is tried again."""
        fused = await self._searcher.fused(tenant_id, question.question, _CANDIDATES)
        if not fused.embedding_model:
            raise Unavailable("the question could not be embedded")
        if not fused.ranked:
            return _Found(
                {arm: [] for arm in arms.ARMS},
                0.0,
                fused.knowledge_version,
                fused.embedding_model,
                is_reranked=True,
            )
        reordered = await self._reranker.reorder(
            tenant_id, question.question, fused.ranked, fused.passages, DEPTH
        )
        if reordered.reason not in ("", "NO_TOKEN_VECTORS"):
            raise Unavailable("the passages could not be reranked", reason=reordered.reason)
        ranked = {
            "bm25": arms.by_words(fused.ranked),
            "dense": arms.by_vectors(fused.ranked),
            "fused": fused.ranked,
            "reranked": reordered.ranked,
        }
        return _Found(
            {arm: arms.documents(order, fused.passages) for arm, order in ranked.items()},
            fused.relevance,
            fused.knowledge_version,
            fused.embedding_model,
            is_reranked=not reordered.reason,
        )

    async def _settle(
        self, tenant_id: UUID, evaluation_id: UUID, question: QuestionRow, found: _Found
    ) -> None:
        async with self._db.tenant(tenant_id) as conn:
            now = await store.get(conn, tenant_id, evaluation_id, lock=True)
            if now is None or now.state != "running":
                return
            await store.put_result(
                conn,
                tenant_id,
                evaluation_id,
                question.ordinal,
                relevance=found.relevance,
                orders=found.orders,
                ranks={arm: _rank(order, question) for arm, order in found.orders.items()},
            )
            await store.count_done(
                conn,
                tenant_id,
                evaluation_id,
                knowledge_version=found.knowledge_version,
                embedding_model=found.embedding_model,
                is_reranked=found.is_reranked,
            )

    async def _finish(self, tenant_id: UUID, evaluation_id: UUID) -> None:
        async with self._db.tenant(tenant_id) as conn:
            row = await store.get(conn, tenant_id, evaluation_id)
            if row is None or not _is_whole(row):
                return
            questions = await store.list_questions(conn, tenant_id, evaluation_id)
        found = await asyncio.to_thread(figures.table, questions)
        async with self._db.tenant(tenant_id) as conn:
            await store.end(
                conn, tenant_id, evaluation_id, state="ended", figures=found, now=conn.now()
            )


def _is_whole(row: EvaluationRow) -> bool:
    return row.state == "running" and row.done_count == row.question_count


def _rank(order: Sequence[UUID], question: QuestionRow) -> int | None:
    return first_rank([str(document_id) for document_id in order], figures.grades(question))
