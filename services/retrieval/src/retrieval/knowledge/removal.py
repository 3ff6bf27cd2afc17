"""Taking documents out of the index, with all that was made of them."""

from collections.abc import Sequence
from uuid import UUID

from fleetdesk.retrieval.v1.events_pb2 import KnowledgeChanged
from fleetkit.events.outbox import publish
from fleetkit.postgres.connection import FleetConnection

from retrieval.index import writing
from retrieval.store import documents as document_store


async def remove_documents(
    conn: FleetConnection, tenant_id: UUID, document_ids: Sequence[UUID]
) -> int:
    """Deletes documents with passages, vectors and postings; returns how many passages they had.

    Each that could be found is said to be removed by an event. What is gone already does no harm.
    """
    removed = 0
    for document_id in document_ids:
        count, version = await writing.remove_document(conn, tenant_id, document_id)
        if await document_store.delete_document(conn, tenant_id, document_id) and count:
            removed += count
            event = KnowledgeChanged(document_id=str(document_id), removed=True)
            await publish(conn, event, revision=version)
    if removed:
        await document_store.note_languages(conn, tenant_id)
    return removed
