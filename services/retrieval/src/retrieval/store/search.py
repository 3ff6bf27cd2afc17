"""The statements of a search; the blocks are in `retrieval.store.blocks`."""

from collections.abc import Sequence
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

from retrieval.store.rows import PassageRow


async def cosines(
    conn: FleetConnection, tenant_id: UUID, model: str, embedding: str, slots: Sequence[int]
) -> list[tuple[int, float]]:
    """Slot and cosine with the query of those of these passages that have a vector of `model`.

    Both vectors have unit length, so the inner product is the cosine.
    """
    rows = await conn.execute(
        "select slot, -(embedding <#> %s::halfvec) from chunk_embedding"
        " where tenant_id = %s and slot = any(%s) and model = %s",
        [embedding, tenant_id, list(slots), model],
    )
    return await rows.fetchall()


async def passages(
    conn: FleetConnection, tenant_id: UUID, slots: Sequence[int]
) -> list[PassageRow]:
    """The chunks in these slots, in no order."""
    async with conn.cursor(row_factory=class_row(PassageRow)) as cursor:
        await cursor.execute(
            "select c.chunk_no, c.slot, c.chunk_id, c.document_id, d.source_id,"
            "  coalesce(s.external_id, '') as external_id, d.title,"
            "  coalesce(p.url, s.url) as url, c.heading_path, c.text,"
            "  c.span_start, c.span_end"
            " from chunk c join document d on d.document_id = c.document_id"
            "  join source s on s.source_id = d.source_id"
            "  left join page p on p.tenant_id = %(tenant_id)s and p.page_id = d.document_id"
            " where c.tenant_id = %(tenant_id)s and d.tenant_id = %(tenant_id)s"
            "  and s.tenant_id = %(tenant_id)s and c.slot = any(%(slots)s)",
            {"tenant_id": tenant_id, "slots": list(slots)},
        )
        return await cursor.fetchall()
