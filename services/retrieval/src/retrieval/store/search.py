"""The statements of a search."""

from collections.abc import Sequence
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

from retrieval.index.bm25 import K1, B, CorpusStats
from retrieval.store.rows import (
    DenseHit,
    IndexStat,
    LexicalHit,
    LexicalHits,
    PassageRow,
    PostingRow,
)


async def lexical_hits(
    conn: FleetConnection, tenant_id: UUID, terms: Sequence[str], stat: IndexStat, limit: int
) -> LexicalHits:
    """The chunks with the best BM25 scores, best first. See `retrieval.index.bm25`.

    One scan of the terms' postings gives their frequencies, too.
    """
    rows = await conn.execute(
        "with hit as materialized ("
        "  select term, chunk_no, weight, length from posting"
        "  where tenant_id = %(tenant_id)s and term = any(%(terms)s)),"
        " rarity as materialized ("
        "  select term, count(*) as frequency, ln(1 + (greatest(%(chunk_count)s - count(*), 0)"
        "    + 0.5) / (count(*) + 0.5))::float8 as idf"
        "  from hit group by term)"
        " select hit.chunk_no, sum(rarity.idf * hit.weight * (%(k1)s + 1) / (hit.weight"
        "   + %(k1)s * (1 - %(b)s + %(b)s * hit.length / %(mean_length)s))) as score,"
        "  (select jsonb_object_agg(term, frequency) from rarity)"
        " from hit join rarity on rarity.term = hit.term"
        " group by hit.chunk_no order by score desc, hit.chunk_no limit %(limit)s",
        {
            "tenant_id": tenant_id,
            "terms": list(terms),
            "chunk_count": stat.chunk_count,
            "mean_length": CorpusStats(stat.chunk_count, stat.length_sum).mean_length,
            "k1": K1,
            "b": B,
            "limit": limit,
        },
    )
    found = await rows.fetchall()
    frequencies: dict[str, int] = found[0][2] if found else {}
    return LexicalHits([LexicalHit(no, score) for no, score, _ in found], frequencies)


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
