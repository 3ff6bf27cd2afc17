"""Documents and their states."""

from datetime import datetime
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

from retrieval.store.rows import DocumentRow, OriginalRow, PassageCounts

_DOCUMENTS = """
select d.document_id, d.source_id, coalesce(s.external_id, '') as external_id,
    coalesce(nullif(d.title, ''), p.url, nullif(s.given_title, ''), s.file_name) as title,
    coalesce(p.url, s.url) as url, '' as text, d.status, d.error, d.chunk_count, d.media_type,
    d.language, d.update_time, d.embedded_count,
    case d.status when 'embedding' then d.embedding_count else 0 end as embedding_count
  from document d join source s on s.source_id = d.source_id
    left join page p on p.tenant_id = %(tenant_id)s and p.page_id = d.document_id
  where d.tenant_id = %(tenant_id)s and s.tenant_id = %(tenant_id)s
    and (%(source_id)s::uuid is null or d.source_id = %(source_id)s)
    and (%(statuses)s::text[] = '{}' or d.status = any(%(statuses)s))"""
_NEWEST_FIRST = (
    " and (%(after)s::uuid is null or d.document_id < %(after)s)"
    " order by d.document_id desc limit %(limit)s"
)
_OLDEST_FIRST = (
    " and (%(after)s::uuid is null or d.document_id > %(after)s)"
    " order by d.document_id limit %(limit)s"
)


async def get_document(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID
) -> DocumentRow | None:
    """The document with its text."""
    async with conn.cursor(row_factory=class_row(DocumentRow)) as cursor:
        await cursor.execute(
            "select d.document_id, d.source_id, coalesce(s.external_id, '') as external_id,"
            "  coalesce(nullif(d.title, ''), p.url, nullif(s.given_title, ''), s.file_name)"
            "   as title, coalesce(p.url, s.url) as url, d.text, d.status, d.error,"
            "  d.chunk_count, d.media_type, d.language, d.update_time,"
            "  case d.status when 'embedding' then d.embedding_count else 0 end as embedding_count,"
            "  d.embedded_count"
            " from document d join source s on s.source_id = d.source_id"
            "  left join page p on p.tenant_id = %(tenant_id)s and p.page_id = d.document_id"
            " where d.tenant_id = %(tenant_id)s and s.tenant_id = %(tenant_id)s"
            "  and d.document_id = %(document_id)s",
            {"tenant_id": tenant_id, "document_id": document_id},
        )
        return await cursor.fetchone()


async def list_documents(
    conn: FleetConnection,
    tenant_id: UUID,
    *,
    source_id: UUID | None,
    statuses: list[str],
    after: UUID | None,
    limit: int,
    oldest_first: bool,
) -> list[DocumentRow]:
    """Documents without text, newest or oldest first, after one of them; of one source or all."""
    onward = _OLDEST_FIRST if oldest_first else _NEWEST_FIRST
    async with conn.cursor(row_factory=class_row(DocumentRow)) as cursor:
        await cursor.execute(
            _DOCUMENTS + onward,
            {
                "tenant_id": tenant_id,
                "source_id": source_id,
                "statuses": statuses,
                "after": after,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


async def count_by_status(conn: FleetConnection, tenant_id: UUID) -> dict[str, int]:
    """How many documents are in each state; states without any are left out."""
    rows = await conn.execute(
        "select status, count(*) from document where tenant_id = %s group by status", [tenant_id]
    )
    return dict(await rows.fetchall())


async def count_passages(conn: FleetConnection, tenant_id: UUID) -> PassageCounts:
    """The passages of all documents as they were read last, and those that have their vector."""
    async with conn.cursor(row_factory=class_row(PassageCounts)) as cursor:
        await cursor.execute(
            "select (t.found + d.passages)::int as passages,"
            "  (t.found + d.embedded)::int as embedded"
            " from (select coalesce(sum(chunk_count), 0) as found from index_stat"
            "   where tenant_id = %(tenant_id)s) t,"
            "  (select coalesce(sum(embedding_count - chunk_count), 0) as passages,"
            "    coalesce(sum(embedded_count - chunk_count), 0) as embedded from document"
            "   where tenant_id = %(tenant_id)s and status = 'embedding') d",
            {"tenant_id": tenant_id},
        )
        return await cursor.fetchone() or PassageCounts(0, 0)


async def get_original(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID, *, lock: bool = False
) -> OriginalRow | None:
    """What a document is read from, None before a page was fetched.

    With `lock`, nobody replaces it until the transaction ends.
    """
    if lock:
        await conn.execute(
            "select from source where tenant_id = %(tenant_id)s and source_id = (select source_id"
            "  from document where tenant_id = %(tenant_id)s and document_id = %(document_id)s)"
            " for no key update",
            {"tenant_id": tenant_id, "document_id": document_id},
        )
        await conn.execute(
            "select from page where tenant_id = %s and page_id = %s for no key update",
            [tenant_id, document_id],
        )
    async with conn.cursor(row_factory=class_row(OriginalRow)) as cursor:
        await cursor.execute(
            "select d.document_id, d.source_id,"
            "  case when p.page_id is null then s.content_id else p.content_id end as content_id,"
            "  case when p.page_id is null then s.revision else p.revision end as revision,"
            "  case when s.type in ('sitemap', 'crawl') then '' else s.given_title end"
            "   as given_title, coalesce(p.url, s.file_name) as fallback_title, d.error_reason"
            " from document d join source s on s.source_id = d.source_id"
            "  left join page p on p.tenant_id = %(tenant_id)s and p.page_id = d.document_id"
            " where d.tenant_id = %(tenant_id)s and s.tenant_id = %(tenant_id)s"
            "  and d.document_id = %(document_id)s"
            "  and (p.page_id is null or p.content_id is not null)",
            {"tenant_id": tenant_id, "document_id": document_id},
        )
        return await cursor.fetchone()


async def source_documents(
    conn: FleetConnection, tenant_id: UUID, source_id: UUID, limit: int
) -> list[UUID]:
    """Ids of documents of a source."""
    rows = await conn.execute(
        "select document_id from document where tenant_id = %s and source_id = %s limit %s",
        [tenant_id, source_id, limit],
    )
    return [row[0] for row in await rows.fetchall()]


async def delete_document(conn: FleetConnection, tenant_id: UUID, document_id: UUID) -> bool:
    """The document alone, whose chunks are gone; False when it was gone already."""
    result = await conn.execute(
        "delete from document where tenant_id = %s and document_id = %s", [tenant_id, document_id]
    )
    return result.rowcount == 1


async def set_fetching(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID, now: datetime
) -> None:
    """The state "fetching", unless the document can be found: then it stays so meanwhile."""
    await conn.execute(
        "update document set status = 'fetching', error = '', error_reason = '', update_time = %s"
        " where tenant_id = %s and document_id = %s and status <> 'ready'",
        [now, tenant_id, document_id],
    )


async def requeue_page(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID, source_id: UUID, now: datetime
) -> None:
    """The state "queued" for a page's document, made when the page had none."""
    await conn.execute(
        "insert into document (tenant_id, document_id, source_id, status, update_time)"
        " values (%(tenant_id)s, %(document_id)s, %(source_id)s, 'queued', %(now)s)"
        " on conflict (document_id) do update"
        " set status = 'queued', error = '', error_reason = '', update_time = %(now)s",
        {
            "tenant_id": tenant_id,
            "document_id": document_id,
            "source_id": source_id,
            "now": now,
        },
    )


async def fail_unread(
    conn: FleetConnection,
    tenant_id: UUID,
    document_id: UUID,
    error_reason: str,
    error: str,
    now: datetime,
) -> None:
    """The state "failed" for what was never read; what can be found stays so, with the error."""
    await conn.execute(
        "update document set status = case when chunk_count > 0 then 'ready' else 'failed' end,"
        "  error = %s, error_reason = %s, update_time = %s"
        " where tenant_id = %s and document_id = %s",
        [error, error_reason, now, tenant_id, document_id],
    )


async def clear_error(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID, now: datetime
) -> None:
    """Forgets what went wrong with a document that can be found."""
    await conn.execute(
        "update document set error = '', error_reason = '', update_time = %s"
        " where tenant_id = %s and document_id = %s and status = 'ready' and error <> ''",
        [now, tenant_id, document_id],
    )


async def stop_pending(
    conn: FleetConnection, tenant_id: UUID, source_id: UUID, error: str, now: datetime
) -> None:
    """Ends the work on a source's documents: those read before stay as they were."""
    await conn.execute(
        "update document set status = case when chunk_count > 0 then 'ready' else 'failed' end,"
        "  error = %s, error_reason = 'CANCELLED', update_time = %s"
        " where tenant_id = %s and source_id = %s and status not in ('ready', 'failed')",
        [error, now, tenant_id, source_id],
    )


async def set_status(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID, status: str, now: datetime
) -> None:
    """A state without an error."""
    await conn.execute(
        "update document set status = %s, error = '', error_reason = '', update_time = %s"
        " where tenant_id = %s and document_id = %s",
        [status, now, tenant_id, document_id],
    )


async def set_embedding(
    conn: FleetConnection,
    tenant_id: UUID,
    document_id: UUID,
    *,
    count: int,
    done: int,
    now: datetime,
) -> None:
    """The state "embedding": it has `count` passages, `done` of them with their vector."""
    await conn.execute(
        "update document set status = 'embedding', error = '', error_reason = '',"
        "  embedding_count = %s, embedded_count = %s, update_time = %s"
        " where tenant_id = %s and document_id = %s",
        [count, done, now, tenant_id, document_id],
    )


async def add_embedded(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID, count: int
) -> None:
    """So many more of its passages have their vector."""
    await conn.execute(
        "update document set embedded_count = least(embedded_count + %s, embedding_count)"
        " where tenant_id = %s and document_id = %s and status = 'embedding'",
        [count, tenant_id, document_id],
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


async def set_language(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID, language: str
) -> None:
    """The language that a document's words are searched in; the index notes it."""
    await conn.execute(
        "update document set language = %s where tenant_id = %s and document_id = %s",
        [language, tenant_id, document_id],
    )
    await note_languages(conn, tenant_id, language)


async def note_languages(conn: FleetConnection, tenant_id: UUID, added: str | None = None) -> None:
    """Keeps in the index which languages its documents have, of those it had and the one added."""
    await conn.execute(
        "update index_stat s set languages = array(select distinct l"
        "  from unnest(s.languages || %(added)s::text[]) l where exists (select from document d"
        "   where d.tenant_id = %(tenant_id)s and d.language = l and d.chunk_count > 0) order by l)"
        " where s.tenant_id = %(tenant_id)s",
        {"tenant_id": tenant_id, "added": [] if added is None else [added]},
    )
