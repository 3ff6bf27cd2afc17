"""Documents and their states."""

from datetime import datetime
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

from retrieval.store.rows import DocumentRow


async def get_document(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID
) -> DocumentRow | None:
    """The document with its text."""
    async with conn.cursor(row_factory=class_row(DocumentRow)) as cursor:
        await cursor.execute(
            "select d.document_id, d.source_id, coalesce(s.external_id, '') as external_id,"
            "  coalesce(nullif(d.title, ''), nullif(s.given_title, ''), s.file_name) as title,"
            "  s.url, d.text, d.status, d.error, d.chunk_count, d.media_type, d.update_time"
            " from document d join source s on s.source_id = d.source_id"
            " where d.tenant_id = %s and s.tenant_id = %s and d.document_id = %s",
            [tenant_id, tenant_id, document_id],
        )
        return await cursor.fetchone()


async def list_documents(
    conn: FleetConnection,
    tenant_id: UUID,
    *,
    statuses: list[str],
    before: UUID | None,
    limit: int,
) -> list[DocumentRow]:
    """Documents without text, newest first, from the one after `before`."""
    async with conn.cursor(row_factory=class_row(DocumentRow)) as cursor:
        await cursor.execute(
            "select d.document_id, d.source_id, coalesce(s.external_id, '') as external_id,"
            "  coalesce(nullif(d.title, ''), nullif(s.given_title, ''), s.file_name) as title,"
            "  s.url, '' as text, d.status, d.error, d.chunk_count, d.media_type, d.update_time"
            " from document d join source s on s.source_id = d.source_id"
            " where d.tenant_id = %(tenant_id)s and s.tenant_id = %(tenant_id)s"
            "  and (%(statuses)s::text[] = '{}' or d.status = any(%(statuses)s))"
            "  and (%(before)s::uuid is null or d.document_id < %(before)s)"
            " order by d.document_id desc limit %(limit)s",
            {"tenant_id": tenant_id, "statuses": statuses, "before": before, "limit": limit},
        )
        return await cursor.fetchall()


async def count_by_status(conn: FleetConnection, tenant_id: UUID) -> dict[str, int]:
    """How many documents are in each state; states without any are left out."""
    rows = await conn.execute(
        "select status, count(*) from document where tenant_id = %s group by status", [tenant_id]
    )
    return dict(await rows.fetchall())


async def set_status(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID, status: str, now: datetime
) -> None:
    """A state without an error."""
    await conn.execute(
        "update document set status = %s, error = '', error_reason = '', update_time = %s"
        " where tenant_id = %s and document_id = %s",
        [status, now, tenant_id, document_id],
    )


async def set_failed(
    conn: FleetConnection,
    tenant_id: UUID,
    document_id: UUID,
    *,
    error: str,
    error_reason: str,
    now: datetime,
) -> None:
    """The state "failed"; text and chunks that are there stay."""
    await conn.execute(
        "update document set status = 'failed', error = %s, error_reason = %s, update_time = %s"
        " where tenant_id = %s and document_id = %s",
        [error, error_reason, now, tenant_id, document_id],
    )


async def set_ready(
    conn: FleetConnection,
    tenant_id: UUID,
    document_id: UUID,
    *,
    media_type: str,
    title: str,
    text: str,
    chunk_count: int,
    now: datetime,
) -> None:
    """The state "ready" with the text that the chunks belong to."""
    await conn.execute(
        "update document set status = 'ready', error = '', error_reason = '', media_type = %s,"
        "  title = %s, text = %s, chunk_count = %s, update_time = %s"
        " where tenant_id = %s and document_id = %s",
        [media_type, title, text, chunk_count, now, tenant_id, document_id],
    )
