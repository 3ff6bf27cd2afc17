"""Websites as sources: asked for, read again, stopped, read at times."""

from datetime import timedelta
from uuid import UUID

from fleetkit import jobs
from fleetkit.errors import FailedPrecondition, InvalidArgument
from fleetkit.fetch import FetchError, checked_url
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection
from fleetkit.postgres.tenants import known_tenants, remember_tenant

from retrieval.knowledge.work import SYNC
from retrieval.store import documents as document_store
from retrieval.store import sites as store
from retrieval.store.rows import SiteLimits, SourceRow

SITE_TYPES = ("url", "sitemap", "crawl")
MAX_PAGES = 10_000
MAX_DEPTH = 20
MAX_PATHS = 20
MAX_PATH_CHARS = 200
MIN_EVERY_S = 3_600
MAX_EVERY_S = 31 * 86_400
_DEFAULT_PAGES = 500
_DEFAULT_DEPTH = 5
_STOPPED = "Reading was stopped before this was read. Sync again to read it."


def checked_limits(given: SiteLimits, site_type: str) -> SiteLimits:
    """The limits, 0 standing for the usual ones; InvalidArgument for what can't be."""
    if not 0 <= given.max_pages <= MAX_PAGES:
        raise InvalidArgument(f"max_pages is 1 to {MAX_PAGES:,}", field="max_pages")
    if not 0 <= given.max_depth <= MAX_DEPTH:
        raise InvalidArgument(f"max_depth is 1 to {MAX_DEPTH}", field="max_depth")
    pages = 1 if site_type == "url" else given.max_pages or _DEFAULT_PAGES
    return SiteLimits(
        pages,
        given.max_depth or _DEFAULT_DEPTH,
        _checked_paths(given.include_paths, "include_paths", site_type),
        _checked_paths(given.exclude_paths, "exclude_paths", site_type),
    )


def _checked_paths(paths: tuple[str, ...], field: str, site_type: str) -> tuple[str, ...]:
    """The beginnings of paths as addresses spell them, each once."""
    if paths and site_type == "url":
        raise InvalidArgument(f"one page needs no {field}: leave it out", field=field)
    if len(paths) > MAX_PATHS:
        raise InvalidArgument(f"{field} has at most {MAX_PATHS} items", field=field)
    return tuple(dict.fromkeys(_checked_path(path, field) for path in paths))


def _checked_path(path: str, field: str) -> str:
    if not path.startswith("/") or len(path) > MAX_PATH_CHARS or set(path) & set("?#"):
        raise InvalidArgument(
            f"{field} are beginnings of paths: each starts with /, has no ? or #, and at most"
            f" {MAX_PATH_CHARS} characters",
            field=field,
        )
    try:
        return checked_url(f"https://example.com{path}").raw_path
    except FetchError as error:
        raise InvalidArgument(error.message, field=field) from error


async def start_run(conn: FleetConnection, tenant_id: UUID, source_id: UUID) -> None:
    """Queues a run, unless one waits or is under way: that one will do."""
    if await store.queue_run(conn, tenant_id, source_id):
        await jobs.enqueue(conn, tenant_id, SYNC, source_id)


async def stop_run(conn: FleetConnection, tenant_id: UUID, source_id: UUID) -> None:
    """Ends a website's run where it stands; what was found before is found further on."""
    site = await store.get_site(conn, tenant_id, source_id, lock=True)
    if site is not None and site.state in ("queued", "running"):
        await store.end_run(
            conn, tenant_id, source_id, state="cancelled", error="", error_reason="",
            now=conn.now(),
        )  # fmt: skip
    await store.raise_page_revisions(conn, tenant_id, source_id)
    await document_store.stop_pending(conn, tenant_id, source_id, _STOPPED, conn.now())


async def schedule(conn: FleetConnection, tenant_id: UUID, source_id: UUID, every_s: int) -> None:
    """Reads a website again every so often, 0 for never.

    InvalidArgument for a period that can't be, FailedPrecondition for what is no website.
    """
    if every_s and not MIN_EVERY_S <= every_s <= MAX_EVERY_S:
        raise InvalidArgument(
            "sync_every_s is 0, or one hour (3600) to 31 days (2678400)", field="sync_every_s"
        )
    if await store.get_site(conn, tenant_id, source_id, lock=True) is None:
        raise FailedPrecondition(
            "only a website is read again by itself: upload a file again when it has changed",
            reason="NOT_A_WEBSITE",
        )
    next_time = conn.now() + timedelta(seconds=every_s) if every_s else None
    await store.set_schedule(conn, tenant_id, source_id, every_s, next_time)
    await remember_tenant(conn, tenant_id)


async def set_paths(
    conn: FleetConnection,
    tenant_id: UUID,
    source: SourceRow,
    include_paths: tuple[str, ...],
    exclude_paths: tuple[str, ...],
) -> None:
    """Other beginnings of paths from the next run on, which is queued.

    InvalidArgument for what is none, FailedPrecondition for what is no website.
    """
    site = await store.get_site(conn, tenant_id, source.source_id, lock=True)
    if site is None:
        raise FailedPrecondition(
            "only a website is read by paths: a file or text is read whole",
            reason="NOT_A_WEBSITE",
        )
    given = SiteLimits(site.max_pages, site.max_depth, include_paths, exclude_paths)
    await store.set_limits(conn, tenant_id, source.source_id, checked_limits(given, source.type))
    await start_run(conn, tenant_id, source.source_id)


async def sync_due(db: Database) -> None:
    """Starts the runs of all websites whose time has come, one tenant after the other."""
    after: UUID | None = None
    while tenants := await known_tenants(db, after):
        for tenant_id in tenants:
            async with db.tenant(tenant_id) as conn:
                for source_id in await store.take_due(conn, tenant_id, conn.now()):
                    await start_run(conn, tenant_id, source_id)
        after = tenants[-1]
