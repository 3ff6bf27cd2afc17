"""Evaluations, their questions, and the documents that these name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

_COLUMNS = (
    "evaluation_id, set_id, name, state, error, error_reason, question_count, done_count,"
    " not_reranked_count, knowledge_version, last_knowledge_version, fusion_version, rerank_model,"
    " rerank_version, embedding_model, figures, create_time, begin_time, end_time"
)
_SELECT = f"select {_COLUMNS} from evaluation"  # noqa: S608 - names of columns


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """An evaluation; `figures` as `retrieval.evaluation.figures` writes them."""

    evaluation_id: UUID
    set_id: UUID
    name: str
    state: str
    error: str
    error_reason: str
    question_count: int
    done_count: int
    not_reranked_count: int
    knowledge_version: int
    last_knowledge_version: int
    fusion_version: str
    rerank_model: str
    rerank_version: str
    embedding_model: str
    figures: list[dict[str, Any]]
    create_time: datetime
    begin_time: datetime | None
    end_time: datetime | None


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """A question with the first ten documents of each arm, and where its first own one stands."""

    ordinal: int
    question: str
    expected: list[UUID]
    done: bool
    relevance: float
    bm25: list[UUID]
    dense: list[UUID]
    fused: list[UUID]
    reranked: list[UUID]
    bm25_rank: int | None
    dense_rank: int | None
    fused_rank: int | None
    reranked_rank: int | None


@dataclass(frozen=True, slots=True)
class Named:
    """A document by everything it may be called."""

    document_id: UUID
    external_id: str
    url: str
    file_name: str
    title: str
    chunk_count: int


async def find_named(
    conn: FleetConnection, tenant_id: UUID, names: Sequence[str], ids: Sequence[UUID]
) -> list[Named]:
    """The tenant's documents that have one of these ids, or are called one of these names."""
    async with conn.cursor(row_factory=class_row(Named)) as cursor:
        await cursor.execute(
            "select * from ("
            "  select d.document_id, coalesce(s.external_id, '') as external_id,"
            "    coalesce(p.url, s.url) as url, s.file_name, d.title, d.chunk_count"
            "  from document d join source s on s.source_id = d.source_id"
            "   left join page p on p.tenant_id = %(tenant_id)s and p.page_id = d.document_id"
            "  where d.tenant_id = %(tenant_id)s and s.tenant_id = %(tenant_id)s) named"
            " where document_id = any(%(ids)s) or lower(external_id) = any(%(names)s)"
            "  or lower(url) = any(%(names)s) or lower(file_name) = any(%(names)s)"
            "  or lower(title) = any(%(names)s)",
            {
                "tenant_id": tenant_id,
                "names": [name.lower() for name in names],
                "ids": list(ids),
            },
        )
        return await cursor.fetchall()


async def titles(
    conn: FleetConnection, tenant_id: UUID, document_ids: Sequence[UUID]
) -> dict[UUID, str]:
    """What documents are called; those that are gone are left out."""
    rows = await conn.execute(
        "select d.document_id, coalesce(nullif(d.title, ''), p.url, nullif(s.given_title, ''),"
        "   s.file_name)"
        " from document d join source s on s.source_id = d.source_id"
        "  left join page p on p.tenant_id = %(tenant_id)s and p.page_id = d.document_id"
        " where d.tenant_id = %(tenant_id)s and s.tenant_id = %(tenant_id)s"
        "  and d.document_id = any(%(ids)s)",
        {"tenant_id": tenant_id, "ids": list(document_ids)},
    )
    return dict(await rows.fetchall())


async def lock_tenant(conn: FleetConnection, tenant_id: UUID) -> None:
    """Makes the evaluations of a tenant be asked for one after the other."""
    await conn.execute(
        "select pg_advisory_xact_lock(hashtextextended('evaluation' || %s, 0))", [str(tenant_id)]
    )


async def find_by_request(
    conn: FleetConnection, tenant_id: UUID, request_id: str
) -> tuple[UUID, bytes] | None:
    """The evaluation that a request made before, and the SHA-256 of that request."""
    rows = await conn.execute(
        "select evaluation_id, request_sha256 from evaluation"
        " where tenant_id = %s and request_id = %s",
        [tenant_id, request_id],
    )
    return await rows.fetchone()


async def count(conn: FleetConnection, tenant_id: UUID) -> tuple[int, int]:
    """How many evaluations are kept, and how many are under way."""
    rows = await conn.execute(
        "select count(*), count(*) filter (where state in ('queued', 'running'))"
        " from evaluation where tenant_id = %s",
        [tenant_id],
    )
    return (await rows.fetchone()) or (0, 0)


async def insert(
    conn: FleetConnection,
    tenant_id: UUID,
    row: EvaluationRow,
    request_id: str,
    request_sha256: bytes,
) -> None:
    """A new evaluation, queued; its questions follow."""
    await conn.execute(
        "insert into evaluation (tenant_id, evaluation_id, set_id, request_id, request_sha256,"
        "  name, state, question_count, create_time)"
        " values (%s, %s, %s, %s, %s, %s, 'queued', %s, %s)",
        [
            tenant_id,
            row.evaluation_id,
            row.set_id,
            request_id,
            request_sha256,
            row.name,
            row.question_count,
            row.create_time,
        ],
    )


async def insert_questions(
    conn: FleetConnection,
    tenant_id: UUID,
    evaluation_id: UUID,
    questions: Sequence[tuple[str, Sequence[UUID]]],
) -> None:
    """The questions of an evaluation, in order from 1."""
    async with conn.cursor() as cursor:
        await cursor.executemany(
            "insert into evaluation_question"
            "  (tenant_id, evaluation_id, ordinal, question, expected)"
            " values (%s, %s, %s, %s, %s)",
            [
                (tenant_id, evaluation_id, ordinal, question, list(expected))
                for ordinal, (question, expected) in enumerate(questions, start=1)
            ],
        )


async def copy_questions(
    conn: FleetConnection, tenant_id: UUID, from_id: UUID, evaluation_id: UUID
) -> None:
    """The questions of another evaluation, to be asked again."""
    await conn.execute(
        "insert into evaluation_question (tenant_id, evaluation_id, ordinal, question, expected)"
        " select tenant_id, %s, ordinal, question, expected from evaluation_question"
        " where tenant_id = %s and evaluation_id = %s",
        [evaluation_id, tenant_id, from_id],
    )


async def get(
    conn: FleetConnection, tenant_id: UUID, evaluation_id: UUID, *, lock: bool = False
) -> EvaluationRow | None:
    """The evaluation; with `lock`, nobody else changes it until the transaction ends."""
    async with conn.cursor(row_factory=class_row(EvaluationRow)) as cursor:
        await cursor.execute(
            _SELECT
            + " where tenant_id = %s and evaluation_id = %s"
            + (" for no key update" if lock else ""),
            [tenant_id, evaluation_id],
        )
        return await cursor.fetchone()


async def list_evaluations(
    conn: FleetConnection, tenant_id: UUID, *, before: UUID | None, limit: int
) -> list[EvaluationRow]:
    """Evaluations, newest first, from the one after `before`."""
    async with conn.cursor(row_factory=class_row(EvaluationRow)) as cursor:
        await cursor.execute(
            _SELECT + " where tenant_id = %(tenant_id)s"
            "  and (%(before)s::uuid is null or evaluation_id < %(before)s)"
            " order by evaluation_id desc limit %(limit)s",
            {"tenant_id": tenant_id, "before": before, "limit": limit},
        )
        return await cursor.fetchall()


async def list_questions(
    conn: FleetConnection,
    tenant_id: UUID,
    evaluation_id: UUID,
    *,
    missed_by: str = "",
    depth: int = 0,
    after: int = 0,
    limit: int | None = None,
) -> list[QuestionRow]:
    """Questions in order; `missed_by` an arm: only those whose documents it has none of so high."""
    async with conn.cursor(row_factory=class_row(QuestionRow)) as cursor:
        await cursor.execute(
            "select ordinal, question, expected, done, relevance, bm25, dense, fused, reranked,"
            "  bm25_rank, dense_rank, fused_rank, reranked_rank"
            " from evaluation_question"
            " where tenant_id = %(tenant_id)s and evaluation_id = %(evaluation_id)s"
            "  and ordinal > %(after)s and (%(missed_by)s = '' or done and coalesce("
            "    case %(missed_by)s when 'bm25' then bm25_rank when 'dense' then dense_rank"
            "     when 'fused' then fused_rank else reranked_rank end, %(depth)s + 1) > %(depth)s)"
            " order by ordinal limit %(limit)s",
            {
                "tenant_id": tenant_id,
                "evaluation_id": evaluation_id,
                "missed_by": missed_by,
                "depth": depth,
                "after": after,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


async def next_question(
    conn: FleetConnection, tenant_id: UUID, evaluation_id: UUID
) -> QuestionRow | None:
    """The first question that was not searched yet."""
    async with conn.cursor(row_factory=class_row(QuestionRow)) as cursor:
        await cursor.execute(
            "select ordinal, question, expected, done, relevance, bm25, dense, fused, reranked,"
            "  bm25_rank, dense_rank, fused_rank, reranked_rank"
            " from evaluation_question"
            " where tenant_id = %s and evaluation_id = %s and not done order by ordinal limit 1",
            [tenant_id, evaluation_id],
        )
        return await cursor.fetchone()


async def begin(
    conn: FleetConnection,
    tenant_id: UUID,
    evaluation_id: UUID,
    *,
    fusion_version: str,
    rerank_model: str,
    rerank_version: str,
    now: datetime,
) -> None:
    """The state "running", with the versions that it measures."""
    await conn.execute(
        "update evaluation set state = 'running', fusion_version = %s, rerank_model = %s,"
        "  rerank_version = %s, begin_time = %s"
        " where tenant_id = %s and evaluation_id = %s and state = 'queued'",
        [fusion_version, rerank_model, rerank_version, now, tenant_id, evaluation_id],
    )


async def put_result(
    conn: FleetConnection,
    tenant_id: UUID,
    evaluation_id: UUID,
    ordinal: int,
    *,
    relevance: float,
    orders: Mapping[str, Sequence[UUID]],
    ranks: Mapping[str, int | None],
) -> None:
    """What was found for a question."""
    await conn.execute(
        "update evaluation_question set done = true, relevance = %(relevance)s,"
        "  bm25 = %(bm25)s, dense = %(dense)s, fused = %(fused)s, reranked = %(reranked)s,"
        "  bm25_rank = %(bm25_rank)s, dense_rank = %(dense_rank)s, fused_rank = %(fused_rank)s,"
        "  reranked_rank = %(reranked_rank)s"
        " where tenant_id = %(tenant_id)s and evaluation_id = %(evaluation_id)s"
        "  and ordinal = %(ordinal)s",
        {
            "tenant_id": tenant_id,
            "evaluation_id": evaluation_id,
            "ordinal": ordinal,
            "relevance": relevance,
            **{arm: list(order) for arm, order in orders.items()},
            **{f"{arm}_rank": rank for arm, rank in ranks.items()},
        },
    )


async def count_done(
    conn: FleetConnection,
    tenant_id: UUID,
    evaluation_id: UUID,
    *,
    knowledge_version: int,
    embedding_model: str,
    is_reranked: bool,
) -> None:
    """One question more was searched, in this version of the knowledge."""
    await conn.execute(
        "update evaluation set done_count = done_count + 1,"
        "  not_reranked_count = not_reranked_count + %(not_reranked)s,"
        "  knowledge_version = case when done_count = 0 then %(version)s"
        "   else knowledge_version end,"
        "  last_knowledge_version = %(version)s, embedding_model = %(model)s"
        " where tenant_id = %(tenant_id)s and evaluation_id = %(evaluation_id)s",
        {
            "tenant_id": tenant_id,
            "evaluation_id": evaluation_id,
            "version": knowledge_version,
            "model": embedding_model,
            "not_reranked": 0 if is_reranked else 1,
        },
    )


async def end(
    conn: FleetConnection,
    tenant_id: UUID,
    evaluation_id: UUID,
    *,
    state: str,
    figures: Sequence[Mapping[str, Any]] = (),
    error: str = "",
    error_reason: str = "",
    now: datetime,
) -> bool:
    """Ends one that is under way; False when it is not."""
    result = await conn.execute(
        "update evaluation set state = %s, figures = %s, error = %s, error_reason = %s,"
        "  end_time = %s"
        " where tenant_id = %s and evaluation_id = %s and state in ('queued', 'running')",
        [state, Jsonb(list(figures)), error, error_reason, now, tenant_id, evaluation_id],
    )
    return result.rowcount == 1


async def delete(conn: FleetConnection, tenant_id: UUID, evaluation_id: UUID) -> bool:
    """The evaluation with its questions; False when it was gone already."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "delete from evaluation where tenant_id = %s and evaluation_id = %s"
            " returning evaluation_id",
            [tenant_id, evaluation_id],
        )
        return await cursor.fetchone() is not None
