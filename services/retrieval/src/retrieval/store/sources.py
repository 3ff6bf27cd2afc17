"""Sources, and the requests that made them."""

from datetime import datetime
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from retrieval.store.rows import SourceRow


async def get_source(
    conn: FleetConnection, tenant_id: UUID, source_id: UUID, *, lock: bool = False
) -> SourceRow | None:
    """The source; with `lock`, nobody else changes it until the transaction ends."""
    if lock:
        await conn.execute(
            "select from source where tenant_id = %s and source_id = %s for update",
            [tenant_id, source_id],
        )
    async with conn.cursor(row_factory=class_row(SourceRow)) as cursor:
        await cursor.execute(
            "select s.source_id, d.document_id, s.type, coalesce(s.external_id, '') as external_id,"
            "  coalesce(nullif(d.title, ''), nullif(s.given_title, ''), s.file_name) as title,"
            "  s.url, s.file_name, d.media_type, s.byte_count, d.status, d.error, d.error_reason,"
            "  d.chunk_count, s.revision, s.content_id, s.content_sha256, s.given_title,"
            "  s.create_time, greatest(s.update_time, d.update_time) as update_time"
            " from source s join document d on d.source_id = s.source_id"
            " where s.tenant_id = %s and d.tenant_id = %s and s.source_id = %s",
            [tenant_id, tenant_id, source_id],
        )
        return await cursor.fetchone()


async def find_by_external_id(
    conn: FleetConnection, tenant_id: UUID, external_id: str
) -> UUID | None:
    """The source that has the tenant's own id, locked until the transaction ends."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "select source_id from source where tenant_id = %s and external_id = %s for update",
            [tenant_id, external_id],
        )
        return await cursor.fetchone()


async def find_by_document(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID
) -> UUID | None:
    """The source of a document."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "select source_id from document where tenant_id = %s and document_id = %s",
            [tenant_id, document_id],
        )
        return await cursor.fetchone()


async def list_sources(
    conn: FleetConnection,
    tenant_id: UUID,
    *,
    statuses: list[str],
    containing: str,
    before: UUID | None,
    limit: int,
) -> list[SourceRow]:
    """Sources, newest first, from the one after `before`; empty `statuses` means all."""
    async with conn.cursor(row_factory=class_row(SourceRow)) as cursor:
        await cursor.execute(
            "select s.source_id, d.document_id, s.type, coalesce(s.external_id, '') as external_id,"
            "  coalesce(nullif(d.title, ''), nullif(s.given_title, ''), s.file_name) as title,"
            "  s.url, s.file_name, d.media_type, s.byte_count, d.status, d.error, d.error_reason,"
            "  d.chunk_count, s.revision, s.content_id, s.content_sha256, s.given_title,"
            "  s.create_time, greatest(s.update_time, d.update_time) as update_time"
            " from source s join document d on d.source_id = s.source_id"
            " where s.tenant_id = %(tenant_id)s and d.tenant_id = %(tenant_id)s"
            "  and (%(statuses)s::text[] = '{}' or d.status = any(%(statuses)s))"
            "  and (%(before)s::uuid is null or s.source_id < %(before)s)"
            "  and (%(containing)s = '' or strpos(lower(concat_ws(chr(10), d.title, s.given_title,"
            "    s.file_name, s.external_id)), lower(%(containing)s)) > 0)"
            " order by s.source_id desc limit %(limit)s",
            {
                "tenant_id": tenant_id,
                "statuses": statuses,
                "before": before,
                "containing": containing,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


async def insert_source(
    conn: FleetConnection,
    tenant_id: UUID,
    row: SourceRow,
) -> None:
    """A new source and its document, queued."""
    await conn.execute(
        "insert into source (tenant_id, source_id, type, external_id, given_title, url, file_name,"
        "  content_id, content_sha256, byte_count, revision, create_time, update_time)"
        " values (%s, %s, %s, nullif(%s, ''), %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            tenant_id,
            row.source_id,
            row.type,
            row.external_id,
            row.given_title,
            row.url,
            row.file_name,
            row.content_id,
            row.content_sha256,
            row.byte_count,
            row.revision,
            row.create_time,
            row.update_time,
        ],
    )
    await conn.execute(
        "insert into document (tenant_id, document_id, source_id, status, update_time)"
        " values (%s, %s, %s, 'queued', %s)",
        [tenant_id, row.document_id, row.source_id, row.update_time],
    )


async def replace_content(conn: FleetConnection, tenant_id: UUID, row: SourceRow) -> None:
    """Another content for a source; its chunks stay until the new ones are ready."""
    await conn.execute(
        "update source set type = %s, given_title = %s, url = %s, file_name = %s, content_id = %s,"
        "  content_sha256 = %s, byte_count = %s, revision = revision + 1, update_time = %s"
        " where tenant_id = %s and source_id = %s",
        [
            row.type,
            row.given_title,
            row.url,
            row.file_name,
            row.content_id,
            row.content_sha256,
            row.byte_count,
            row.update_time,
            tenant_id,
            row.source_id,
        ],
    )


async def raise_revision(conn: FleetConnection, tenant_id: UUID, source_id: UUID) -> None:
    """Makes an ingest that is under way stale."""
    await conn.execute(
        "update source set revision = revision + 1 where tenant_id = %s and source_id = %s",
        [tenant_id, source_id],
    )


async def delete_source(conn: FleetConnection, tenant_id: UUID, source_id: UUID) -> None:
    """The source with its document, chunks, vectors and postings (by cascade)."""
    await conn.execute(
        "delete from source where tenant_id = %s and source_id = %s", [tenant_id, source_id]
    )


async def is_content_used(conn: FleetConnection, tenant_id: UUID, content_id: UUID) -> bool:
    """Whether a source has this original."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "select exists (select from source where tenant_id = %s and content_id = %s)",
            [tenant_id, content_id],
        )
        return bool(await cursor.fetchone())


async def get_request(
    conn: FleetConnection, tenant_id: UUID, request_id: str
) -> tuple[bytes, list[dict[str, str]]] | None:
    """SHA-256 and outcomes of a request that was answered before.

    Concurrent requests with the same id wait here for one another.
    """
    await conn.execute(
        "select pg_advisory_xact_lock(hashtextextended(%s || %s, 0))", [str(tenant_id), request_id]
    )
    rows = await conn.execute(
        "select request_sha256, outcomes from request where tenant_id = %s and request_id = %s",
        [tenant_id, request_id],
    )
    return await rows.fetchone()


async def put_request(
    conn: FleetConnection,
    tenant_id: UUID,
    request_id: str,
    request_sha256: bytes,
    outcomes: list[dict[str, str]],
    create_time: datetime,
) -> None:
    """Remembers the outcomes of a request."""
    await conn.execute(
        "insert into request (tenant_id, request_id, request_sha256, outcomes, create_time)"
        " values (%s, %s, %s, %s, %s)",
        [tenant_id, request_id, request_sha256, Jsonb(outcomes), create_time],
    )


async def forget_requests(conn: FleetConnection, tenant_id: UUID, before: datetime) -> None:
    """Drops requests that nobody repeats any more."""
    await conn.execute(
        "delete from request where tenant_id = %s and create_time < %s", [tenant_id, before]
    )
