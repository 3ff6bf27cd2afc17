"""Sources, and the requests that made them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import dict_row, scalar_row
from psycopg.types.json import Jsonb

from retrieval.store.rows import SiteProgress, SourceRow

# A website (`w`) has many documents, whose states together (`n`) are its own; `g` are the pages of
# its present or last run. Any other source has one document (`d`).
_SOURCES = """
select * from (
  select s.source_id, d.document_id, s.type, coalesce(s.external_id, '') as external_id,
    coalesce(nullif(d.title, ''), nullif(s.given_title, ''), nullif(s.file_name, ''),
      case when w.source_id is null then '' else s.url end) as title,
    s.url, s.file_name, coalesce(d.media_type, '') as media_type,
    s.byte_count + coalesce(g.byte_count, 0)::bigint as byte_count,
    case when w.source_id is null then d.status
      when w.state = 'queued' then 'queued'
      when w.state = 'running' then 'fetching'
      when n.pending > 0 then 'embedding'
      when w.state = 'failed' or n.ready = 0 then 'failed'
      else 'ready' end as status,
    case when w.source_id is null then d.error
      when w.state in ('queued', 'running') then ''
      when w.error <> '' then w.error
      when n.ready = 0 and n.pending = 0 then coalesce(nullif(n.error, ''),
        'No page was read. Sync again, or check the address.')
      else '' end as error,
    case when w.source_id is null then d.error_reason
      when w.state in ('queued', 'running') then ''
      when w.error <> '' then w.error_reason
      when n.ready = 0 and n.pending = 0 then coalesce(nullif(n.error_reason, ''), 'NO_PAGES')
      else '' end as error_reason,
    coalesce(d.chunk_count, n.chunk_count, 0)::int as chunk_count,
    coalesce(n.passages, case d.status when 'embedding' then d.embedding_count
      else d.chunk_count end, 0)::int as passage_count,
    coalesce(n.embedded, case d.status when 'embedding' then d.embedded_count
      else d.chunk_count end, 0)::int as embedded_count, s.revision, s.content_id,
    s.content_sha256, s.given_title, s.create_time,
    greatest(s.update_time, d.update_time, w.begin_time, w.end_time, n.update_time) as update_time,
    w.source_id is not null as is_site, w.state in ('queued', 'running') as is_running,
    coalesce(g.found, 0) as found, coalesce(g.visited, 0) as visited, coalesce(n.ready, 0) as ready,
    coalesce(n.pending, 0) as pending, coalesce(n.failed, 0) as failed, w.truncated, w.max_pages,
    w.max_depth, w.include_paths, w.exclude_paths, w.sync_every_s, w.begin_time,
    w.end_time, w.next_sync_time
  from source s
    left join site w on w.tenant_id = %(tenant_id)s and w.source_id = s.source_id
    left join document d on w.source_id is null and d.tenant_id = %(tenant_id)s
      and d.source_id = s.source_id
    left join lateral (
      select count(*) filter (where status = 'ready') as ready,
        count(*) filter (where status = 'failed') as failed,
        count(*) filter (where status not in ('ready', 'failed')) as pending,
        sum(chunk_count) as chunk_count, max(update_time) as update_time,
        sum(case status when 'embedding' then embedding_count else chunk_count end) as passages,
        sum(case status when 'embedding' then embedded_count else chunk_count end) as embedded,
        (array_agg(error) filter (where status = 'failed'))[1] as error,
        (array_agg(error_reason) filter (where status = 'failed'))[1] as error_reason
      from document where tenant_id = %(tenant_id)s and source_id = w.source_id
    ) n on w.source_id is not null
    left join lateral (
      select count(*) as found, count(*) filter (where visited_run = w.run) as visited,
        sum(byte_count) as byte_count
      from page where tenant_id = %(tenant_id)s and source_id = w.source_id and run = w.run
    ) g on w.source_id is not null
  where s.tenant_id = %(tenant_id)s
) found"""
_STATUS_COUNTS = "select status, count(*) from (" + _SOURCES + ") counted group by status"  # noqa: S608
_SITE = tuple(SiteProgress.__dataclass_fields__)


def _source_row(cursor: Any) -> Callable[[Sequence[Any]], SourceRow]:
    """Makes rows of `_SOURCES`."""
    to_dict = dict_row(cursor)

    def make(values: Sequence[Any]) -> SourceRow:
        row = to_dict(values)
        is_site = row.pop("is_site")
        site = {name: row.pop(name) for name in _SITE}
        return SourceRow(**row, site=SiteProgress(**site) if is_site else None)

    return make


async def get_source(
    conn: FleetConnection, tenant_id: UUID, source_id: UUID, *, lock: bool = False
) -> SourceRow | None:
    """The source; with `lock`, nobody else changes it until the transaction ends.

    Rows that refer to it may be added meanwhile: a run adds pages while it holds its website.
    """
    if lock:
        await conn.execute(
            "select from source where tenant_id = %s and source_id = %s for no key update",
            [tenant_id, source_id],
        )
    async with conn.cursor(row_factory=_source_row) as cursor:
        await cursor.execute(
            _SOURCES + " where found.source_id = %(source_id)s",
            {"tenant_id": tenant_id, "source_id": source_id},
        )
        return await cursor.fetchone()


async def find_by_external_id(
    conn: FleetConnection, tenant_id: UUID, external_id: str
) -> UUID | None:
    """The source that has the tenant's own id, locked until the transaction ends."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "select source_id from source where tenant_id = %s and external_id = %s"
            " for no key update",
            [tenant_id, external_id],
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
    async with conn.cursor(row_factory=_source_row) as cursor:
        await cursor.execute(
            _SOURCES + " where (%(statuses)s::text[] = '{}' or found.status = any(%(statuses)s))"
            "  and (%(before)s::uuid is null or found.source_id < %(before)s)"
            "  and (%(containing)s = '' or strpos(lower(concat_ws(chr(10), found.title,"
            "    found.given_title, found.file_name, found.external_id)),"
            "    lower(%(containing)s)) > 0)"
            " order by found.source_id desc limit %(limit)s",
            {
                "tenant_id": tenant_id,
                "statuses": statuses,
                "before": before,
                "containing": containing,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


async def count_by_status(conn: FleetConnection, tenant_id: UUID) -> dict[str, int]:
    """How many sources are in each state; states without any are left out."""
    rows = await conn.execute(
        _STATUS_COUNTS,
        {"tenant_id": tenant_id},
    )
    return dict(await rows.fetchall())


async def insert_website(conn: FleetConnection, tenant_id: UUID, row: SourceRow) -> None:
    """A new source that is a website; see `sites.insert_site`."""
    await conn.execute(
        "insert into source (tenant_id, source_id, type, external_id, given_title, url, file_name,"
        "  byte_count, revision, create_time, update_time)"
        " values (%s, %s, %s, nullif(%s, ''), %s, %s, '', 0, %s, %s, %s)",
        [
            tenant_id,
            row.source_id,
            row.type,
            row.external_id,
            row.given_title,
            row.url,
            row.revision,
            row.create_time,
            row.update_time,
        ],
    )


async def set_website(conn: FleetConnection, tenant_id: UUID, row: SourceRow) -> None:
    """Another title and address for a website."""
    await conn.execute(
        "update source set given_title = %s, url = %s, update_time = %s"
        " where tenant_id = %s and source_id = %s",
        [row.given_title, row.url, row.update_time, tenant_id, row.source_id],
    )


async def insert_source(
    conn: FleetConnection,
    tenant_id: UUID,
    row: SourceRow,
    document_id: UUID,
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
        [tenant_id, document_id, row.source_id, row.update_time],
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


async def delete_source(conn: FleetConnection, tenant_id: UUID, source_id: UUID) -> list[UUID]:
    """The source with all that is left of it (by cascade); returns the ids of its originals."""
    rows = await conn.execute(
        "with pages as (select content_id from page"
        "  where tenant_id = %(tenant_id)s and source_id = %(source_id)s),"
        " gone as (delete from source where tenant_id = %(tenant_id)s"
        "  and source_id = %(source_id)s returning content_id)"
        " select content_id from pages where content_id is not null"
        " union select content_id from gone where content_id is not null",
        {"tenant_id": tenant_id, "source_id": source_id},
    )
    return [row[0] for row in await rows.fetchall()]


async def is_content_used(conn: FleetConnection, tenant_id: UUID, content_id: UUID) -> bool:
    """Whether a source or page has this original."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "select exists (select from source where tenant_id = %(tenant_id)s"
            "  and content_id = %(content_id)s) or exists (select from page"
            "  where tenant_id = %(tenant_id)s and content_id = %(content_id)s)",
            {"tenant_id": tenant_id, "content_id": content_id},
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
