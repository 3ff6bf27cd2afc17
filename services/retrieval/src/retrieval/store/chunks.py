"""Chunks with their vectors and postings."""

import json
from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row, scalar_row

from retrieval.store.rows import IndexStat, KnownVectors, NewChunk, PassageRow

# Passages of a tenant; which ones is to follow.
PASSAGES: LiteralString = (
    "select c.chunk_no, coalesce(c.slot, -1) as slot, c.chunk_id, c.document_id,"
    "  d.source_id, coalesce(s.external_id, '') as external_id, d.title,"
    "  coalesce(p.url, s.url) as url, c.heading_path, c.text, c.span_start, c.span_end"
    " from chunk c join document d on d.document_id = c.document_id"
    "  join source s on s.source_id = d.source_id"
    "  left join page p on p.tenant_id = %(tenant_id)s and p.page_id = d.document_id"
    " where c.tenant_id = %(tenant_id)s and d.tenant_id = %(tenant_id)s"
    "  and s.tenant_id = %(tenant_id)s"
)


async def lock_stat(conn: FleetConnection, tenant_id: UUID) -> IndexStat:
    """The tenant's index row, made if need be; changes of the index wait here for one another."""
    await conn.execute(
        "insert into index_stat (tenant_id, knowledge_version, chunk_count, length_sum)"
        " values (%s, 0, 0, 0) on conflict do nothing",
        [tenant_id],
    )
    async with conn.cursor(row_factory=class_row(IndexStat)) as cursor:
        await cursor.execute(
            "select knowledge_version, chunk_count, length_sum, slot_count, model,"
            " languages from index_stat"
            " where tenant_id = %s for update",
            [tenant_id],
        )
        stat = await cursor.fetchone()
    assert stat is not None  # noqa: S101 - inserted above
    return stat


async def get_stat(conn: FleetConnection, tenant_id: UUID) -> IndexStat:
    """The tenant's index row; zeros when there is none yet."""
    async with conn.cursor(row_factory=class_row(IndexStat)) as cursor:
        await cursor.execute(
            "select knowledge_version, chunk_count, length_sum, slot_count, model,"
            " languages from index_stat"
            " where tenant_id = %s",
            [tenant_id],
        )
        return await cursor.fetchone() or IndexStat(0, 0, 0.0, 0)


async def put_stat(conn: FleetConnection, tenant_id: UUID, stat: IndexStat) -> None:
    """Replaces the locked row."""
    await conn.execute(
        "update index_stat set knowledge_version = %s, chunk_count = %s, length_sum = %s,"
        " slot_count = %s, model = %s where tenant_id = %s",
        [
            stat.knowledge_version,
            stat.chunk_count,
            stat.length_sum,
            stat.slot_count,
            stat.model,
            tenant_id,
        ],
    )


async def measure_document(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID
) -> tuple[int, float]:
    """Indexed chunks of a document, and the sum of their lengths as BM25 counts them."""
    rows = await conn.execute(
        "select count(*), coalesce(sum(length), 0)::float8 from chunk"
        " where tenant_id = %s and document_id = %s",
        [tenant_id, document_id],
    )
    row = await rows.fetchone()
    assert row is not None  # noqa: S101 - an aggregate returns one row
    return row[0], row[1]


async def slots_of_document(conn: FleetConnection, tenant_id: UUID, document_id: UUID) -> list[int]:
    """The slots of a document's chunks, in order; without those of the former layout."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "select slot from chunk where tenant_id = %s and document_id = %s"
            " and slot is not null order by slot",
            [tenant_id, document_id],
        )
        return await cursor.fetchall()


async def delete_chunks(conn: FleetConnection, tenant_id: UUID, document_id: UUID) -> None:
    """A document's chunks with their vectors (by cascade)."""
    await conn.execute(
        "delete from chunk where tenant_id = %s and document_id = %s", [tenant_id, document_id]
    )


async def insert_chunks(
    conn: FleetConnection,
    tenant_id: UUID,
    document_id: UUID,
    model: str,
    chunks: Sequence[NewChunk],
    slots: Sequence[int],
) -> None:
    """Stores chunks and vectors (arrays: COPY does not go through row policies)."""
    await conn.execute(
        "insert into chunk (tenant_id, chunk_id, document_id, ordinal, heading_path, span_start,"
        "  span_end, token_count, length, text, slot)"
        " select %(tenant_id)s, n.chunk_id, %(document_id)s, n.ordinal,"
        "  array(select jsonb_array_elements_text(n.heading_path)), n.span_start, n.span_end,"
        "  n.token_count, n.length, n.text, n.slot"
        " from unnest(%(chunk_ids)s::uuid[], %(ordinals)s::int[], %(paths)s::jsonb[],"
        "  %(starts)s::int[], %(ends)s::int[], %(tokens)s::int[], %(lengths)s::real[],"
        "  %(texts)s::text[], %(slots)s::int[]) as n (chunk_id, ordinal, heading_path,"
        "  span_start, span_end, token_count, length, text, slot)"
        " order by n.ordinal",
        {
            "tenant_id": tenant_id,
            "document_id": document_id,
            "chunk_ids": [c.chunk_id for c in chunks],
            "ordinals": [c.ordinal for c in chunks],
            "paths": [json.dumps(c.heading_path) for c in chunks],
            "starts": [c.span_start for c in chunks],
            "ends": [c.span_end for c in chunks],
            "tokens": [c.token_count for c in chunks],
            "lengths": [c.length for c in chunks],
            "texts": [c.text for c in chunks],
            "slots": list(slots),
        },
    )
    await conn.execute(
        "insert into chunk_embedding (tenant_id, slot, model, input_sha256, embedding)"
        " select %s, n.slot, %s, n.input_sha256, n.embedding::halfvec"
        " from unnest(%s::int[], %s::bytea[], %s::text[]) as n (slot, input_sha256, embedding)",
        [
            tenant_id,
            model,
            list(slots),
            [c.input_sha256 for c in chunks],
            [c.embedding for c in chunks],
        ],
    )


async def vectors_of_document(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID, model: str
) -> KnownVectors:
    """The vectors of `model` that a document has.

    Those of the former layout count while the document was not read again since.
    """
    rows = await conn.execute(
        "select e.input_sha256, e.embedding::text from chunk c"
        "  join chunk_embedding e on e.tenant_id = c.tenant_id and e.slot = c.slot"
        "  where c.tenant_id = %(tenant_id)s and c.document_id = %(document_id)s"
        "   and e.model = %(model)s"
        " union all select input_sha256, embedding::text from chunk_vector"
        "  where tenant_id = %(tenant_id)s and document_id = %(document_id)s"
        "   and model = %(model)s",
        {"tenant_id": tenant_id, "document_id": document_id, "model": model},
    )
    return KnownVectors(model, dict(await rows.fetchall()))


async def get_passages(
    conn: FleetConnection, tenant_id: UUID, chunk_ids: list[UUID]
) -> list[PassageRow]:
    """Chunks by their public ids, in no order; unknown ids are left out."""
    async with conn.cursor(row_factory=class_row(PassageRow)) as cursor:
        await cursor.execute(
            PASSAGES + " and c.chunk_id = any(%(chunk_ids)s)",
            {"tenant_id": tenant_id, "chunk_ids": chunk_ids},
        )
        return await cursor.fetchall()
