"""Documents and passages by id."""

from dataclasses import dataclass
from uuid import UUID

from fleetkit.errors import InvalidArgument, NotFound
from fleetkit.postgres import Database

from retrieval.knowledge.sources import page_limit
from retrieval.store import chunks as chunk_store
from retrieval.store import documents as store
from retrieval.store.rows import DocumentRow, PassageRow

_MAX_CHUNKS = 100


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """One page of documents, and where the next begins."""

    rows: list[DocumentRow]
    next_after: UUID | None


async def get_document(db: Database, tenant_id: UUID, document_id: UUID) -> DocumentRow:
    """The document with its text; NotFound for another tenant's."""
    async with db.tenant(tenant_id) as conn:
        row = await store.get_document(conn, tenant_id, document_id)
    if row is None:
        raise NotFound(
            "there is no such document", field="document_id", reason="DOCUMENT_NOT_FOUND"
        )
    return row


async def list_documents(
    db: Database,
    tenant_id: UUID,
    *,
    source_id: UUID | None,
    statuses: list[str],
    after: UUID | None,
    page_size: int,
    oldest_first: bool = False,
) -> DocumentPage:
    """Documents of a source or of all, without text, in order, those after one of them."""
    limit = page_limit(page_size)
    async with db.tenant(tenant_id) as conn:
        rows = await store.list_documents(
            conn,
            tenant_id,
            source_id=source_id,
            statuses=statuses,
            after=after,
            limit=limit + 1,
            oldest_first=oldest_first,
        )
    more = len(rows) > limit
    return DocumentPage(rows[:limit], rows[limit - 1].document_id if more else None)


async def get_chunks(db: Database, tenant_id: UUID, chunk_ids: list[UUID]) -> list[PassageRow]:
    """Chunks in the order asked; unknown ids are left out."""
    if len(chunk_ids) > _MAX_CHUNKS:
        raise InvalidArgument(f"chunk_ids has at most {_MAX_CHUNKS} items", field="chunk_ids")
    async with db.tenant(tenant_id) as conn:
        rows = await chunk_store.get_passages(conn, tenant_id, chunk_ids)
    by_id = {row.chunk_id: row for row in rows}
    return [by_id[chunk_id] for chunk_id in chunk_ids if chunk_id in by_id]
