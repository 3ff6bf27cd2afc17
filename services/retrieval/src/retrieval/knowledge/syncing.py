"""Reading a website: a run finds its pages, fetches each once, and queues what changed for ingest.

Each page is settled in one transaction, so a process that dies loses the page in its hands and no
other. A run works in turns, so that one long website does not hold up the others.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from fleetkit import jobs
from fleetkit.errors import Unavailable
from fleetkit.fetch import FetchError, checked_url
from fleetkit.jobs import Job
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection

from retrieval.knowledge.originals import Originals, sweep_soon
from retrieval.knowledge.removal import remove_documents
from retrieval.knowledge.settling import settle
from retrieval.knowledge.web import Manners, SiteError, Web, wanted
from retrieval.knowledge.work import SYNC
from retrieval.store import chunks as chunk_store
from retrieval.store import documents as document_store
from retrieval.store import sites as store
from retrieval.store.rows import PageRow, SiteRow

# In so many runs in a row a page was gone before it is taken out.
_MISSES = 2
_PATIENCE = 3
# Sitemaps may say that a page has not changed when it has: one run of so many asks for all.
_ASKED_ANYWAY = 5
_GAVE_UP = (
    "The website could not be read because another part of the system kept failing. Try again; if "
    "that fails too, tell your operator."
)
_NEVER_READ = "The run ended before this page was read. Sync again to read it."


@dataclass(frozen=True, slots=True)
class SyncLimits:
    """How long a run may take, and a turn of it before other websites have theirs."""

    run_s: float
    turn_s: float


class SiteSync:
    """The handler of sync jobs, whose subject is a website's source."""

    def __init__(self, db: Database, originals: Originals, web: Web, limits: SyncLimits) -> None:
        self._db = db
        self._originals = originals
        self._web = web
        self._limits = limits

    async def run(self, job: Job) -> None:
        """Takes one turn of the website's run, beginning or continuing it."""
        site = await self._begin(job.tenant_id, job.subject_id)
        if site is None:
            return
        try:
            manners = await self._web.manners(site)
            if not site.planned:
                await self._plan(job.tenant_id, site, manners)
        except SiteError as error:
            if error.passing and job.attempts < _PATIENCE:
                raise Unavailable(error.message, reason=error.reason) from error
            await self._end(job.tenant_id, site, "failed", error.reason, error.message)
            return
        if await self._take_turn(job.tenant_id, site, manners):
            await self._finish(job.tenant_id, site)

    async def give_up(self, job: Job, error: Exception) -> None:
        """The last attempt failed for a reason that is not the website's."""
        async with self._db.tenant(job.tenant_id) as conn:
            site = await store.get_site(conn, job.tenant_id, job.subject_id)
        if site is not None:
            await self._end(job.tenant_id, site, "failed", type(error).__name__.upper(), _GAVE_UP)

    async def _begin(self, tenant_id: UUID, source_id: UUID) -> SiteRow | None:
        async with self._db.tenant(tenant_id) as conn:
            site = await store.get_site(conn, tenant_id, source_id, lock=True)
            if site is not None and site.state == "queued":
                await store.begin_run(conn, tenant_id, source_id, conn.now())
                site = await store.get_site(conn, tenant_id, source_id)
        return site if site is not None and site.state == "running" else None

    async def _plan(self, tenant_id: UUID, site: SiteRow, manners: Manners) -> None:
        changes, whole = {site.url: ""}, True
        if site.type == "sitemap":
            listed = await self._web.sitemap(site, manners)
            changes, whole = listed.changes, listed.whole
        async with self._db.tenant(tenant_id) as conn:
            if not await _still_runs(conn, tenant_id, site):
                return
            urls = tidy(changes)
            if site.type == "sitemap":
                urls = wanted(site, urls)
            if not await store.find_pages(conn, tenant_id, site, urls, 0) or not whole:
                await store.set_truncated(conn, tenant_id, site.source_id)
            said = {tidied: said for url, said in changes.items() for tidied in tidy([url])}
            await store.note_changes(conn, tenant_id, site.source_id, said)
            if site.run % _ASKED_ANYWAY:
                await store.pass_unchanged(conn, tenant_id, site)
            await store.set_planned(conn, tenant_id, site.source_id)

    async def _take_turn(self, tenant_id: UUID, site: SiteRow, manners: Manners) -> bool:
        """Visits pages until there are no more, then True; else queues the next turn."""
        until = time.monotonic() + self._limits.turn_s
        while (page := await self._next(tenant_id, site)) is not None:
            seen = await self._web.page(site, page, manners)
            await settle(self._db, self._originals, tenant_id, site, page, seen)
            if time.monotonic() >= until:
                async with self._db.tenant(tenant_id) as conn:
                    await jobs.enqueue(conn, tenant_id, SYNC, site.source_id)
                return False
            await asyncio.sleep(manners.pause_s)
        return True

    async def _next(self, tenant_id: UUID, site: SiteRow) -> PageRow | None:
        async with self._db.tenant(tenant_id) as conn:
            if not await _still_runs(conn, tenant_id, site):
                return None
            began = site.begin_time or conn.now()
            if conn.now() - began > timedelta(seconds=self._limits.run_s):
                await store.set_truncated(conn, tenant_id, site.source_id)
                return None
            page = await store.take_page(conn, tenant_id, site)
            if page is not None:
                await document_store.set_fetching(conn, tenant_id, page.page_id, conn.now())
            return page

    async def _finish(self, tenant_id: UUID, site: SiteRow) -> None:
        """Ends the run, and takes out what is gone for long enough."""
        originals: list[UUID] = []
        async with self._db.tenant(tenant_id) as conn:
            now = await store.get_site(conn, tenant_id, site.source_id, lock=True)
            if now is None or now.state != "running" or now.run != site.run:
                return
            # Before the pages are locked: ingest locks in this order, too.
            await chunk_store.lock_stat(conn, tenant_id)
            for page_id in await store.unvisited(conn, tenant_id, site):
                await document_store.fail_unread(
                    conn, tenant_id, page_id, "NEVER_READ", _NEVER_READ, conn.now()
                )
            if not now.truncated:
                missed = await store.raise_misses(conn, tenant_id, site)
                gone = [page_id for page_id, misses in missed if misses >= _MISSES]
                originals = await remove_pages(conn, tenant_id, gone)
            await store.end_run(
                conn, tenant_id, site.source_id, state="ended", error="", error_reason="",
                now=conn.now(),
            )  # fmt: skip
        await self._originals.remove(tenant_id, originals)

    async def _end(
        self, tenant_id: UUID, site: SiteRow, state: str, reason: str, message: str
    ) -> None:
        async with self._db.tenant(tenant_id) as conn:
            if await _still_runs(conn, tenant_id, site):
                await store.end_run(
                    conn, tenant_id, site.source_id, state=state, error=message,
                    error_reason=reason, now=conn.now(),
                )  # fmt: skip


async def remove_pages(
    conn: FleetConnection, tenant_id: UUID, page_ids: Sequence[UUID]
) -> list[UUID]:
    """Takes out pages with their documents; returns their originals, whose removal is queued."""
    await remove_documents(conn, tenant_id, page_ids)
    originals = await store.delete_pages(conn, tenant_id, list(page_ids))
    for content_id in originals:
        await sweep_soon(conn, tenant_id, content_id)
    return originals


def tidy(urls: Iterable[str]) -> list[str]:
    """The addresses as they are asked for, without those that are none."""
    found: list[str] = []
    for url in urls:
        try:
            found.append(str(checked_url(url)))
        except FetchError:
            continue
    return found


async def _still_runs(conn: FleetConnection, tenant_id: UUID, site: SiteRow) -> bool:
    now = await store.get_site(conn, tenant_id, site.source_id, lock=True)
    return now is not None and now.state == "running" and now.run == site.run
