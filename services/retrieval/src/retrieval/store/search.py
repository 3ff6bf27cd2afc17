"""The statements of a search."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

from retrieval.index.bm25 import K1, B
from retrieval.store.rows import (
    DenseHit,
    LexicalHit,
    PassageRow,
    PostingRow,
)


async def frequencies(
    conn: FleetConnection, tenant_id: UUID, terms: Sequence[str]
) -> dict[str, int]:
    """In how many chunks each term stands; terms that stand nowhere are left out."""
    rows = await conn.execute(
        "select term, count(*) from posting where tenant_id = %s and term = any(%s) group by term",
        [tenant_id, list(terms)],
    )
    return dict(await rows.fetchall())


async def lexical_hits(
    conn: FleetConnection,
    tenant_id: UUID,
    rarities: Mapping[str, float],
    mean_length: float,
    limit: int,
) -> list[LexicalHit]:
    """The chunks with the best BM25 scores by terms with their idf, best first.

    See `retrieval.index.bm25`, whose formula this is.
    """
    async with conn.cursor(row_factory=class_row(LexicalHit)) as cursor:
        await cursor.execute(
            "select p.chunk_no, sum(t.idf * p.weight * (%(k1)s + 1)"
            "   / (p.weight + %(k1)s * (1 - %(b)s + %(b)s * p.length / %(mean_length)s))) as score"
            " from unnest(%(terms)s::text[], %(idfs)s::float8[]) as t (term, idf)"
            '  join posting p on p.tenant_id = %(tenant_id)s and p.term = t.term collate "C"'
            " group by p.chunk_no order by score desc, p.chunk_no limit %(limit)s",
            {
                "tenant_id": tenant_id,
                "terms": list(rarities),
                "idfs": list(rarities.values()),
                "mean_length": mean_length,
                "k1": K1,
                "b": B,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


async def dense_hits(
    conn: FleetConnection, tenant_id: UUID, model: str, embedding: str, limit: int
) -> list[DenseHit]:
    """The chunks with the nearest vectors, nearest first: an exact scan of the tenant's.

    Both vectors have unit length, so the inner product is the cosine.
    """
    async with conn.cursor(row_factory=class_row(DenseHit)) as cursor:
        await cursor.execute(
            "select chunk_no, -(embedding <#> %(embedding)s::vector) as cosine from chunk_vector"
            " where tenant_id = %(tenant_id)s and model = %(model)s"
            " order by embedding <#> %(embedding)s::vector, chunk_no limit %(limit)s",
            {"tenant_id": tenant_id, "model": model, "embedding": embedding, "limit": limit},
        )
        return await cursor.fetchall()


async def cosines(
    conn: FleetConnection, tenant_id: UUID, model: str, embedding: str, chunk_nos: list[int]
) -> dict[int, float]:
    """The cosine of each of these chunks with the query."""
    rows = await conn.execute(
        "select chunk_no, -(embedding <#> %s::vector) from chunk_vector"
        " where tenant_id = %s and model = %s and chunk_no = any(%s)",
        [embedding, tenant_id, model, chunk_nos],
    )
    return dict(await rows.fetchall())


async def postings(
    conn: FleetConnection, tenant_id: UUID, terms: Sequence[str], chunk_nos: list[int]
) -> list[PostingRow]:
    """Which of the terms stand in which of the chunks."""
    async with conn.cursor(row_factory=class_row(PostingRow)) as cursor:
        await cursor.execute(
            "select chunk_no, term, weight, length from posting"
            " where tenant_id = %s and term = any(%s) and chunk_no = any(%s)",
            [tenant_id, list(terms), chunk_nos],
        )
        return await cursor.fetchall()


async def passages(
    conn: FleetConnection, tenant_id: UUID, chunk_nos: list[int]
) -> list[PassageRow]:
    """The chunks with these numbers, in no order."""
    async with conn.cursor(row_factory=class_row(PassageRow)) as cursor:
        await cursor.execute(
            "select c.chunk_no, c.chunk_id, c.document_id, d.source_id,"
            "  coalesce(s.external_id, '') as external_id, d.title, s.url, c.heading_path, c.text,"
            "  c.span_start, c.span_end"
            " from chunk c join document d on d.document_id = c.document_id"
            "  join source s on s.source_id = d.source_id"
            " where c.tenant_id = %(tenant_id)s and d.tenant_id = %(tenant_id)s"
            "  and s.tenant_id = %(tenant_id)s and c.chunk_no = any(%(chunk_nos)s)",
            {"tenant_id": tenant_id, "chunk_nos": chunk_nos},
        )
        return await cursor.fetchall()
