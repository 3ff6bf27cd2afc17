"""Evaluations: asked for, listed, compared, stopped, deleted."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit import jobs
from fleetkit.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from fleetkit.ids import new_id
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection

from retrieval.evaluation import figures, pairs
from retrieval.evaluation.arms import SEEN
from retrieval.evaluation.figures import Comparison
from retrieval.evaluation.pairs import Asked
from retrieval.evaluation.references import resolve
from retrieval.knowledge.inputs import check_request_id
from retrieval.knowledge.sources import page_limit
from retrieval.parsing.document import one_line
from retrieval.store import evaluations as store
from retrieval.store.evaluations import EvaluationRow, QuestionRow

EVALUATE = "evaluate"
MAX_KEPT = 100
_MAX_NAME_BYTES = 200


@dataclass(frozen=True, slots=True)
class Requested:
    """What is to be evaluated: questions as sent, or those of the run `from_id`."""

    request_id: str
    name: str
    content: bytes
    from_id: UUID | None


@dataclass(frozen=True, slots=True)
class QuestionPage:
    """Questions with the titles of all documents that they name; where the next page begins."""

    rows: list[QuestionRow]
    titles: dict[UUID, str]
    arm: str
    next_after: int | None


async def create(db: Database, tenant_id: UUID, wanted: Requested) -> EvaluationRow:
    """Queues a run; the errors are those that the RPC names."""
    check_request_id(wanted.request_id)
    if len(wanted.name.encode()) > _MAX_NAME_BYTES:
        raise InvalidArgument(f"name has at most {_MAX_NAME_BYTES} bytes", field="name")
    if bool(wanted.content) == bool(wanted.from_id):
        raise InvalidArgument(
            "send questions, or name the evaluation whose questions are asked again",
            field="content",
        )
    asked = await asyncio.to_thread(pairs.parse, wanted.content) if wanted.content else []
    async with db.tenant(tenant_id) as conn:
        await store.lock_tenant(conn, tenant_id)
        if (known := await _made_before(conn, tenant_id, wanted)) is not None:
            return known
        await _check_room(conn, tenant_id)
        evaluation_id = new_id()
        if wanted.from_id is None:
            await _insert(conn, tenant_id, evaluation_id, wanted, asked)
        else:
            await _insert_again(conn, tenant_id, evaluation_id, wanted, wanted.from_id)
        await jobs.enqueue(conn, tenant_id, EVALUATE, evaluation_id)
        return await existing(conn, tenant_id, evaluation_id)


async def get(
    db: Database, tenant_id: UUID, evaluation_id: UUID, baseline_id: UUID | None
) -> tuple[EvaluationRow, Comparison | None]:
    """The evaluation, and what changed since the baseline where both have ended."""
    async with db.tenant(tenant_id) as conn:
        row = await existing(conn, tenant_id, evaluation_id)
        if baseline_id is None:
            return row, None
        former = await existing(conn, tenant_id, baseline_id, "baseline_evaluation_id")
        if row.state != "ended" or former.state != "ended":
            return row, None
        now = await store.list_questions(conn, tenant_id, evaluation_id)
        then = await store.list_questions(conn, tenant_id, baseline_id)
    return row, await asyncio.to_thread(figures.compare, baseline_id, now, then)


async def list_evaluations(
    db: Database, tenant_id: UUID, *, before: UUID | None, page_size: int
) -> tuple[list[EvaluationRow], UUID | None]:
    """Evaluations, newest first, those after `before`; where the next page begins."""
    limit = page_limit(page_size)
    async with db.tenant(tenant_id) as conn:
        rows = await store.list_evaluations(conn, tenant_id, before=before, limit=limit + 1)
    more = len(rows) > limit
    return rows[:limit], rows[limit - 1].evaluation_id if more else None


async def list_questions(
    db: Database,
    tenant_id: UUID,
    evaluation_id: UUID,
    *,
    arm: str,
    only_missed: bool,
    after: int,
    page_size: int,
) -> QuestionPage:
    """Questions in order, those after `after`, with what `arm` found."""
    limit = page_limit(page_size)
    async with db.tenant(tenant_id) as conn:
        await existing(conn, tenant_id, evaluation_id)
        rows = await store.list_questions(
            conn,
            tenant_id,
            evaluation_id,
            missed_by=arm if only_missed else "",
            depth=SEEN,
            after=after,
            limit=limit + 1,
        )
        shown = {d for row in rows for d in (*row.expected, *getattr(row, arm)[:SEEN])}
        titles = await store.titles(conn, tenant_id, list(shown))
    more = len(rows) > limit
    return QuestionPage(rows[:limit], titles, arm, rows[limit - 1].ordinal if more else None)


async def cancel(db: Database, tenant_id: UUID, evaluation_id: UUID) -> EvaluationRow:
    """Stops one that is under way, with the figures of what it has searched."""
    async with db.tenant(tenant_id) as conn:
        row = await existing(conn, tenant_id, evaluation_id, lock=True)
        if row.state in ("queued", "running"):
            questions = await store.list_questions(conn, tenant_id, evaluation_id)
            found = await asyncio.to_thread(figures.table, questions)
            await store.end(
                conn, tenant_id, evaluation_id, state="cancelled", figures=found, now=conn.now()
            )
        return await existing(conn, tenant_id, evaluation_id)


async def delete(db: Database, tenant_id: UUID, evaluation_id: UUID) -> None:
    """Removes it; a run that is under way finds nothing to go on with."""
    async with db.tenant(tenant_id) as conn:
        if not await store.delete(conn, tenant_id, evaluation_id):
            raise _unknown("evaluation_id")


async def existing(
    conn: FleetConnection,
    tenant_id: UUID,
    evaluation_id: UUID,
    field: str = "evaluation_id",
    *,
    lock: bool = False,
) -> EvaluationRow:
    """The evaluation; NotFound naming the field."""
    row = await store.get(conn, tenant_id, evaluation_id, lock=lock)
    if row is None:
        raise _unknown(field)
    return row


def _unknown(field: str) -> NotFound:
    return NotFound("there is no such evaluation", field=field, reason="EVALUATION_NOT_FOUND")


async def _made_before(
    conn: FleetConnection, tenant_id: UUID, wanted: Requested
) -> EvaluationRow | None:
    known = await store.find_by_request(conn, tenant_id, wanted.request_id)
    if known is None:
        return None
    if known[1] != _fingerprint(wanted):
        raise AlreadyExists(
            "this request_id was used for another request: choose a new one for each request",
            field="request_id",
            reason="REQUEST_ID_REUSED",
        )
    return await existing(conn, tenant_id, known[0])


async def _check_room(conn: FleetConnection, tenant_id: UUID) -> None:
    kept, under_way = await store.count(conn, tenant_id)
    if under_way:
        raise FailedPrecondition(
            "another evaluation is under way: wait until it has ended, or stop it",
            reason="EVALUATION_UNDER_WAY",
        )
    if kept >= MAX_KEPT:
        raise ResourceExhausted(
            f"{MAX_KEPT} evaluations are kept: delete one that you no longer need",
            reason="TOO_MANY_EVALUATIONS",
        )


async def _insert(
    conn: FleetConnection,
    tenant_id: UUID,
    evaluation_id: UUID,
    wanted: Requested,
    asked: list[Asked],
) -> None:
    documents = await resolve(conn, tenant_id, asked)
    name = one_line(wanted.name) or f"{conn.now():%Y-%m-%d %H:%M}"
    row = _queued(evaluation_id, evaluation_id, name, len(asked), conn.now())
    await store.insert(conn, tenant_id, row, wanted.request_id, _fingerprint(wanted))
    questions = [(each.question, ids) for each, ids in zip(asked, documents, strict=True)]
    await store.insert_questions(conn, tenant_id, evaluation_id, questions)


async def _insert_again(
    conn: FleetConnection,
    tenant_id: UUID,
    evaluation_id: UUID,
    wanted: Requested,
    from_id: UUID,
) -> None:
    former = await existing(conn, tenant_id, from_id, "from_evaluation_id")
    name = one_line(wanted.name) or former.name
    row = _queued(evaluation_id, former.set_id, name, former.question_count, conn.now())
    await store.insert(conn, tenant_id, row, wanted.request_id, _fingerprint(wanted))
    await store.copy_questions(conn, tenant_id, from_id, evaluation_id)


def _queued(
    evaluation_id: UUID, set_id: UUID, name: str, question_count: int, now: datetime
) -> EvaluationRow:
    return EvaluationRow(
        evaluation_id=evaluation_id,
        set_id=set_id,
        name=name,
        state="queued",
        error="",
        error_reason="",
        question_count=question_count,
        done_count=0,
        not_reranked_count=0,
        knowledge_version=0,
        last_knowledge_version=0,
        fusion_version="",
        rerank_model="",
        rerank_version="",
        embedding_model="",
        figures=[],
        create_time=now,
        begin_time=None,
        end_time=None,
    )


def _fingerprint(wanted: Requested) -> bytes:
    whole = hashlib.sha256(wanted.content)
    whole.update(f"{wanted.from_id}\n{wanted.name}".encode())
    return whole.digest()
