"""Puts passages into the index without reading documents."""

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from fleetkit.ids import new_id
from fleetkit.postgres import Database
from pgvector import Vector
from retrieval.index import writing
from retrieval.store.rows import NewChunk

MODEL = "local/test@1"
_DRAW = np.random.default_rng(5)


def vector() -> tuple[str, np.ndarray]:
    """A random unit vector, as pgvector's text and as numbers."""
    values = _DRAW.standard_normal(384).astype(np.float32)
    values /= np.linalg.norm(values)
    return Vector(values).to_text(), values


async def put_bags(
    db: Database,
    tenant_id: UUID,
    bags: Sequence[dict[str, float]],
    vectors: Sequence[str] | None = None,
    document_id: UUID | None = None,
    model: str = MODEL,
) -> UUID:
    """A document whose passages have these terms; in the place of `document_id` where given."""
    texts = vectors or [vector()[0] for _ in bags]
    chunks = [
        NewChunk(new_id(), n, [], 0, 1, 1, f"text {n}", bytes([n % 256]), texts[n], bag,
                 sum(bag.values()))
        for n, bag in enumerate(bags)
    ]  # fmt: skip
    return await put(db, tenant_id, chunks, document_id, model)


async def put(
    db: Database,
    tenant_id: UUID,
    chunks: Sequence[NewChunk],
    document_id: UUID | None = None,
    model: str = MODEL,
) -> UUID:
    """A document with these passages; in the place of `document_id` where given."""
    async with db.tenant(tenant_id) as conn:
        if document_id is None:
            source_id, document_id = new_id(), new_id()
            await conn.execute(
                "insert into source (tenant_id, source_id, type, given_title, url, file_name,"
                " content_id, content_sha256, byte_count, create_time, update_time)"
                " values (%s, %s, 'text', '', '', '', %s, '', 0, now(), now())",
                [tenant_id, source_id, new_id()],
            )
            await conn.execute(
                "insert into document (tenant_id, document_id, source_id, status, update_time)"
                " values (%s, %s, %s, 'ready', now())",
                [tenant_id, document_id, source_id],
            )
        await writing.replace_document(conn, tenant_id, document_id, model, chunks)
    return document_id
