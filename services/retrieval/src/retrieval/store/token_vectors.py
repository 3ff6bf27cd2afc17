"""Token vectors of passages, for the local reranker."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection


async def of_document(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID, model: str
) -> dict[bytes, bytes]:
    """Those of a document's passages by `model`, by the SHA-256 of what was embedded."""
    rows = await conn.execute(
        "select input_sha256, token_vectors from chunk_tokens"
        " where tenant_id = %s and document_id = %s and model = %s",
        [tenant_id, document_id, model],
    )
    return dict(await rows.fetchall())


async def put(
    conn: FleetConnection,
    tenant_id: UUID,
    document_id: UUID,
    model: str,
    by_ordinal: Mapping[int, tuple[bytes, bytes]],
) -> None:
    """Stores those of a document's passages: SHA-256 of the input and vectors, by ordinal."""
    await conn.execute(
        "insert into chunk_tokens"
        "  (tenant_id, chunk_no, document_id, model, input_sha256, token_vectors)"
        " select %(tenant_id)s, c.chunk_no, %(document_id)s, %(model)s, n.input_sha256, n.vectors"
        " from unnest(%(ordinals)s::int[], %(keys)s::bytea[], %(vectors)s::bytea[])"
        "  as n (ordinal, input_sha256, vectors)"
        " join chunk c on c.tenant_id = %(tenant_id)s and c.document_id = %(document_id)s"
        "  and c.ordinal = n.ordinal",
        {
            "tenant_id": tenant_id,
            "document_id": document_id,
            "model": model,
            "ordinals": list(by_ordinal),
            "keys": [key for key, _ in by_ordinal.values()],
            "vectors": [vectors for _, vectors in by_ordinal.values()],
        },
    )


async def put_again(
    conn: FleetConnection,
    tenant_id: UUID,
    model: str,
    by_chunk: Mapping[int, tuple[UUID, bytes, bytes]],
) -> None:
    """Stores those of passages: document, SHA-256 of the input and vectors, by chunk_no."""
    await conn.execute(
        "insert into chunk_tokens"
        "  (tenant_id, chunk_no, document_id, model, input_sha256, token_vectors)"
        " select %s, n.chunk_no, n.document_id, %s, n.input_sha256, n.vectors"
        " from unnest(%s::bigint[], %s::uuid[], %s::bytea[], %s::bytea[])"
        "  as n (chunk_no, document_id, input_sha256, vectors)"
        " on conflict (chunk_no, model) do update"
        " set input_sha256 = excluded.input_sha256, token_vectors = excluded.token_vectors",
        [
            tenant_id,
            model,
            list(by_chunk),
            [document_id for document_id, _, _ in by_chunk.values()],
            [key for _, key, _ in by_chunk.values()],
            [vectors for _, _, vectors in by_chunk.values()],
        ],
    )


async def of_chunks(
    conn: FleetConnection, tenant_id: UUID, chunk_nos: Sequence[int]
) -> dict[int, bytes]:
    """Those of passages by the model that the index serves with, by chunk_no.

    Passages without are left out.
    """
    rows = await conn.execute(
        "select chunk_no, token_vectors from chunk_tokens"
        " where tenant_id = %(tenant_id)s and chunk_no = any(%(chunk_nos)s)"
        " and model = (select model from index_stat where tenant_id = %(tenant_id)s)",
        {"tenant_id": tenant_id, "chunk_nos": list(chunk_nos)},
    )
    return dict(await rows.fetchall())
