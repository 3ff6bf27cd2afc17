"""The statements of a search; the blocks are in `retrieval.store.blocks`."""

from collections.abc import Sequence
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

from retrieval.store.chunks import PASSAGES
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
            PASSAGES + " and c.slot = any(%(slots)s)",
            {"tenant_id": tenant_id, "slots": list(slots)},
        )
        return await cursor.fetchall()
