"""Websites: how they are read, and their pages."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from fleetkit.ids import new_id
from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

from retrieval.store.rows import PageRow, SiteLimits, SiteRow

MAX_ATTEMPTS = 3


async def insert_site(
    conn: FleetConnection, tenant_id: UUID, source_id: UUID, limits: SiteLimits
) -> None:
    """How a new website is read; its first run is queued."""
    await conn.execute(
        "insert into site (tenant_id, source_id, state, max_pages, max_depth, include_paths,"
        "  exclude_paths) values (%s, %s, 'queued', %s, %s, %s, %s)",
        [tenant_id, source_id, *_limits(limits)],
    )


async def get_site(
    conn: FleetConnection, tenant_id: UUID, source_id: UUID, *, lock: bool = False
) -> SiteRow | None:
    """The website; with `lock`, nobody else changes its run until the transaction ends."""
    if lock:
        await conn.execute(
            "select from site where tenant_id = %s and source_id = %s for update",
            [tenant_id, source_id],
        )
    async with conn.cursor(row_factory=class_row(SiteRow)) as cursor:
        await cursor.execute(
            "select s.source_id, s.type, s.url, w.state, w.run, w.planned, w.truncated,"
            "  w.max_pages, w.max_depth, w.include_paths, w.exclude_paths, w.begin_time,"
            "  w.sync_every_s"
            " from site w join source s on s.source_id = w.source_id"
            " where w.tenant_id = %s and s.tenant_id = %s and w.source_id = %s",
            [tenant_id, tenant_id, source_id],
        )
        return await cursor.fetchone()


async def set_limits(
    conn: FleetConnection, tenant_id: UUID, source_id: UUID, limits: SiteLimits
) -> None:
    """Other limits for the next runs."""
    await conn.execute(
        "update site set max_pages = %s, max_depth = %s, include_paths = %s, exclude_paths = %s"
        " where tenant_id = %s and source_id = %s",
        [*_limits(limits), tenant_id, source_id],
    )


def _limits(limits: SiteLimits) -> tuple[int, int, list[str], list[str]]:
    return (
        limits.max_pages,
        limits.max_depth,
        list(limits.include_paths),
        list(limits.exclude_paths),
    )


async def queue_run(conn: FleetConnection, tenant_id: UUID, source_id: UUID) -> bool:
    """Asks for a run; False when one is waiting or under way."""
    result = await conn.execute(
        "update site set state = 'queued', error = '', error_reason = ''"
        " where tenant_id = %s and source_id = %s and state not in ('queued', 'running')",
        [tenant_id, source_id],
    )
    return result.rowcount == 1


async def begin_run(conn: FleetConnection, tenant_id: UUID, source_id: UUID, now: datetime) -> None:
    """Begins the run that was asked for."""
    await conn.execute(
        "update site set state = 'running', run = run + 1, planned = false, truncated = false,"
        "  error = '', error_reason = '', begin_time = %s, end_time = null"
        " where tenant_id = %s and source_id = %s",
        [now, tenant_id, source_id],
    )
    await conn.execute(
        "update page set attempts = 0 where tenant_id = %s and source_id = %s and attempts > 0",
        [tenant_id, source_id],
    )


async def set_planned(conn: FleetConnection, tenant_id: UUID, source_id: UUID) -> None:
    """The run knows where to begin."""
    await conn.execute(
        "update site set planned = true where tenant_id = %s and source_id = %s",
        [tenant_id, source_id],
    )


async def set_truncated(conn: FleetConnection, tenant_id: UUID, source_id: UUID) -> None:
    """The run does not see everything."""
    await conn.execute(
        "update site set truncated = true where tenant_id = %s and source_id = %s",
        [tenant_id, source_id],
    )


async def end_run(
    conn: FleetConnection,
    tenant_id: UUID,
    source_id: UUID,
    *,
    state: str,
    error: str,
    error_reason: str,
    now: datetime,
) -> None:
    """Ends the run as "ended", "failed" or "cancelled"."""
    await conn.execute(
        "update site set state = %s, error = %s, error_reason = %s, end_time = %s"
        " where tenant_id = %s and source_id = %s",
        [state, error, error_reason, now, tenant_id, source_id],
    )


async def set_schedule(
    conn: FleetConnection,
    tenant_id: UUID,
    source_id: UUID,
    every_s: int,
    next_time: datetime | None,
) -> None:
    """How often it is read again; 0 and None for never."""
    await conn.execute(
        "update site set sync_every_s = %s, next_sync_time = %s"
        " where tenant_id = %s and source_id = %s",
        [every_s, next_time, tenant_id, source_id],
    )


async def take_due(conn: FleetConnection, tenant_id: UUID, now: datetime) -> list[UUID]:
    """Websites whose time has come; their next one is a period from now."""
    rows = await conn.execute(
        "update site set next_sync_time = %(now)s + make_interval(secs => sync_every_s)"
        " where tenant_id = %(tenant_id)s and next_sync_time <= %(now)s and sync_every_s > 0"
        " returning source_id",
        {"tenant_id": tenant_id, "now": now},
    )
    return [row[0] for row in await rows.fetchall()]


async def find_pages(
    conn: FleetConnection, tenant_id: UUID, site: SiteRow, urls: Sequence[str], depth: int
) -> bool:
    """Notes that the run found these pages, new ones with a document each, up to `max_pages`.

    Returns whether there was room for all.
    """
    rows = await conn.execute(
        "select url, run from page where tenant_id = %s and source_id = %s and url = any(%s)",
        [tenant_id, site.source_id, list(urls)],
    )
    known: dict[str, int] = dict(await rows.fetchall())
    wanted = [url for url in dict.fromkeys(urls) if known.get(url, 0) < site.run]
    room = max(site.max_pages - await count_found(conn, tenant_id, site), 0)
    taken = wanted[:room]
    await conn.execute(
        "update page set run = %s, depth = %s"
        " where tenant_id = %s and source_id = %s and url = any(%s)",
        [site.run, depth, tenant_id, site.source_id, [url for url in taken if url in known]],
    )
    new = [(new_id(), url) for url in taken if url not in known]
    await conn.execute(
        "insert into page (tenant_id, page_id, source_id, url, depth, run)"
        " select %s, n.page_id, %s, n.url, %s, %s from unnest(%s::uuid[], %s::text[])"
        "  as n (page_id, url)",
        [
            tenant_id,
            site.source_id,
            depth,
            site.run,
            [page_id for page_id, _ in new],
            [url for _, url in new],
        ],
    )
    await conn.execute(
        "insert into document (tenant_id, document_id, source_id, status, update_time)"
        " select %s, n.page_id, %s, 'queued', %s from unnest(%s::uuid[]) as n (page_id)",
        [tenant_id, site.source_id, conn.now(), [page_id for page_id, _ in new]],
    )
    return len(taken) == len(wanted)


async def note_changes(
    conn: FleetConnection, tenant_id: UUID, source_id: UUID, changes: Mapping[str, str]
) -> None:
    """When pages are said to have changed last; of those that are not named nothing is known."""
    await conn.execute(
        "update page p set listed_change = coalesce(n.said, '') from page q"
        " left join unnest(%(urls)s::text[], %(said)s::text[]) as n (url, said) on n.url = q.url"
        " where p.tenant_id = %(tenant_id)s and q.tenant_id = %(tenant_id)s"
        "  and p.page_id = q.page_id and p.source_id = %(source_id)s"
        "  and p.listed_change <> coalesce(n.said, '')",
        {
            "tenant_id": tenant_id,
            "source_id": source_id,
            "urls": list(changes),
            "said": list(changes.values()),
        },
    )


async def pass_unchanged(conn: FleetConnection, tenant_id: UUID, site: SiteRow) -> None:
    """Settles pages without asking for them that are said not to have changed since they were read.

    Only those whose document can be found and had no error, and where a time of day is said: a
    date may have passed through several changes.
    """
    await conn.execute(
        "update page p set visited_run = %(run)s, misses = 0 where p.tenant_id = %(tenant_id)s"
        " and p.source_id = %(source_id)s and p.run = %(run)s and p.visited_run < %(run)s"
        " and p.listed_change = p.read_change and position('T' in p.listed_change) > 0"
        " and p.skipped = '' and exists (select from document d where d.tenant_id = %(tenant_id)s"
        "  and d.document_id = p.page_id and d.status = 'ready' and d.error = '')",
        {"tenant_id": tenant_id, "source_id": site.source_id, "run": site.run},
    )


async def count_found(conn: FleetConnection, tenant_id: UUID, site: SiteRow) -> int:
    """How many pages the run has found so far."""
    rows = await conn.execute(
        "select count(*) from page where tenant_id = %s and source_id = %s and run = %s",
        [tenant_id, site.source_id, site.run],
    )
    row = await rows.fetchone()
    assert row is not None  # noqa: S101 - an aggregate returns one row
    return row[0]


async def take_page(conn: FleetConnection, tenant_id: UUID, site: SiteRow) -> PageRow | None:
    """The next page that the run has to visit, counted as one more attempt; None at the end."""
    async with conn.cursor(row_factory=class_row(PageRow)) as cursor:
        await cursor.execute(
            "update page p set attempts = p.attempts + 1 from (select f.page_id from page f"
            "  where f.tenant_id = %(tenant_id)s and f.source_id = %(source_id)s"
            "   and f.run = %(run)s and f.visited_run < %(run)s and f.attempts < %(attempts)s"
            "  order by f.attempts, f.depth, f.page_id limit 1) next"
            " where p.tenant_id = %(tenant_id)s and p.page_id = next.page_id"
            " returning p.page_id, p.url, p.depth, p.attempts, p.misses, p.skipped, p.etag,"
            "  p.last_modified, p.links, p.content_id, p.content_sha256, p.revision,"
            "  coalesce((select d.status from document d where d.tenant_id = %(tenant_id)s"
            "   and d.document_id = p.page_id), '') as status",
            {
                "tenant_id": tenant_id,
                "source_id": site.source_id,
                "run": site.run,
                "attempts": MAX_ATTEMPTS,
            },
        )
        return await cursor.fetchone()


async def get_skipped(
    conn: FleetConnection, tenant_id: UUID, source_id: UUID, url: str
) -> str | None:
    """Why a page has no document, "" when it has one; None when there is no such page."""
    rows = await conn.execute(
        "select skipped from page where tenant_id = %s and source_id = %s and url = %s",
        [tenant_id, source_id, url],
    )
    row = await rows.fetchone()
    return row[0] if row else None


async def set_visited(
    conn: FleetConnection,
    tenant_id: UUID,
    page_id: UUID,
    *,
    run: int,
    skipped: str,
    misses: int,
) -> None:
    """The run is done with the page."""
    await conn.execute(
        "update page set visited_run = %s, skipped = %s, misses = %s, read_change = listed_change"
        " where tenant_id = %s and page_id = %s",
        [run, skipped, misses, tenant_id, page_id],
    )


async def set_validators(
    conn: FleetConnection, tenant_id: UUID, page_id: UUID, etag: str, last_modified: str
) -> None:
    """What the server is asked with whether the page has changed."""
    await conn.execute(
        "update page set etag = %s, last_modified = %s where tenant_id = %s and page_id = %s",
        [etag, last_modified, tenant_id, page_id],
    )


async def set_content(
    conn: FleetConnection,
    tenant_id: UUID,
    page_id: UUID,
    *,
    content_id: UUID | None,
    content_sha256: bytes,
    byte_count: int,
    links: Sequence[str],
) -> None:
    """A new content of the page; an ingest that is under way becomes stale."""
    await conn.execute(
        "update page set content_id = %s, content_sha256 = %s, byte_count = %s, links = %s,"
        "  revision = revision + 1 where tenant_id = %s and page_id = %s",
        [content_id, content_sha256, byte_count, list(links), tenant_id, page_id],
    )


async def raise_misses(
    conn: FleetConnection, tenant_id: UUID, site: SiteRow
) -> list[tuple[UUID, int]]:
    """One more run that did not find these pages; their ids, and how many runs that makes."""
    rows = await conn.execute(
        "update page set misses = misses + 1 where tenant_id = %s and source_id = %s and run < %s"
        " returning page_id, misses",
        [tenant_id, site.source_id, site.run],
    )
    return await rows.fetchall()


async def unvisited(conn: FleetConnection, tenant_id: UUID, site: SiteRow) -> list[UUID]:
    """Pages of the run that nothing came of."""
    rows = await conn.execute(
        "select page_id from page where tenant_id = %s and source_id = %s and run = %s"
        " and visited_run < %s",
        [tenant_id, site.source_id, site.run, site.run],
    )
    return [row[0] for row in await rows.fetchall()]


async def delete_pages(conn: FleetConnection, tenant_id: UUID, page_ids: list[UUID]) -> list[UUID]:
    """Deletes pages, whose documents are gone; returns the ids of their originals."""
    rows = await conn.execute(
        "delete from page where tenant_id = %s and page_id = any(%s) returning content_id",
        [tenant_id, page_ids],
    )
    return [row[0] for row in await rows.fetchall() if row[0] is not None]


async def raise_page_revisions(conn: FleetConnection, tenant_id: UUID, source_id: UUID) -> None:
    """Makes every ingest of the website's pages that is under way stale."""
    await conn.execute(
        "update page set revision = revision + 1 where tenant_id = %s and source_id = %s",
        [tenant_id, source_id],
    )
