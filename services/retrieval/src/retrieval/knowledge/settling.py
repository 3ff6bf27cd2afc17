"""What a run does with a page it has seen, in one transaction."""

import hashlib
from uuid import UUID

from fleetkit import jobs
from fleetkit.fetch import FetchError, checked_url
from fleetkit.ids import new_id
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection

from retrieval.knowledge.originals import Originals, sweep_soon
from retrieval.knowledge.removal import remove_documents
from retrieval.knowledge.web import Seen, origin_of, wanted
from retrieval.knowledge.work import INGEST
from retrieval.store import documents as document_store
from retrieval.store import sites as store
from retrieval.store.rows import PageRow, SiteRow

_MISSES = 2
# Its one link is the page that it stands for.
_ELSEWHERE = ("MOVED", "CANONICAL")
_GONE = "The page is not there (answer 404). When the next sync misses it too, it is taken out."


async def settle(
    db: Database,
    originals: Originals,
    tenant_id: UUID,
    site: SiteRow,
    page: PageRow,
    seen: Seen,
) -> None:
    """Notes what became of a page; a content that is new is queued for ingest.

    Nothing happens when the run has ended meanwhile.
    """
    digest = hashlib.sha256(seen.content or b"").digest()
    is_new = seen.content is not None and not (
        digest == page.content_sha256 and (page.status == "ready" or page.skipped != "")
    )
    content_id = new_id() if is_new else None
    if content_id is not None:
        await originals.put(tenant_id, {content_id: seen.content or b""})
    unused: list[UUID] = []
    async with db.tenant(tenant_id) as conn:
        now = await store.get_site(conn, tenant_id, site.source_id, lock=True)
        if now is None or now.state != "running" or now.run != site.run:
            unused += [content_id] if content_id else []
        else:
            visit = _Visit(conn, tenant_id, site, page, seen)
            unused += await visit.settle(content_id, digest)
        for unused_id in unused:
            await sweep_soon(conn, tenant_id, unused_id)
    await originals.remove(tenant_id, unused)


class _Visit:
    """One page in one transaction."""

    def __init__(
        self, conn: FleetConnection, tenant_id: UUID, site: SiteRow, page: PageRow, seen: Seen
    ) -> None:
        self._conn = conn
        self._tenant_id = tenant_id
        self._site = site
        self._page = page
        self._seen = seen

    async def settle(self, content_id: UUID | None, digest: bytes) -> list[UUID]:
        """Returns originals that are not needed any more."""
        if self._seen.error_reason:
            await self._note_error()
            return []
        if self._seen.gone:
            return await self._note_gone()
        if content_id is None:
            return await self._keep()
        return await self._take(content_id, digest)

    async def _note_error(self) -> None:
        """What was read before stays; after a passing error the page is tried again in this run."""
        if self._seen.passing and self._page.attempts < store.MAX_ATTEMPTS:
            return
        if self._page.depth > 0 and self._site.type == "crawl" and self._is_no_document():
            await self._skip(self._seen.error_reason)
            return
        await document_store.fail_unread(
            self._conn,
            self._tenant_id,
            self._page.page_id,
            self._seen.error_reason,
            self._seen.error,
            self._conn.now(),
        )
        # What it led to before is not gone because the page itself is away.
        await self._follow_known()
        await self._visited(self._page.skipped, self._page.misses)

    def _is_no_document(self) -> bool:
        """Whether a link led to a picture or program: nobody asked for that."""
        return self._seen.error_reason in ("UNSUPPORTED_TYPE", "EMPTY_FILE", "URL_FORBIDDEN")

    async def _note_gone(self) -> list[UUID]:
        misses = self._page.misses + 1
        if self._seen.for_good or misses >= _MISSES:
            await remove_documents(self._conn, self._tenant_id, [self._page.page_id])
            return await store.delete_pages(self._conn, self._tenant_id, [self._page.page_id])
        await document_store.fail_unread(
            self._conn, self._tenant_id, self._page.page_id, "HTTP_404", _GONE, self._conn.now()
        )
        await self._visited(self._page.skipped, misses)
        return []

    async def _keep(self) -> list[UUID]:
        """What we have is what there is."""
        if not self._seen.unchanged:
            await self._set_validators()
        await document_store.clear_error(
            self._conn, self._tenant_id, self._page.page_id, self._conn.now()
        )
        await self._follow_known()
        await self._visited(self._page.skipped, 0)
        return []

    async def _take(self, content_id: UUID, digest: bytes) -> list[UUID]:
        """A content that was not here before."""
        skipped, instead = await self._reason_to_skip()
        elsewhere = skipped in _ELSEWHERE
        links = [instead] * bool(instead) if elsewhere else list(self._seen.facts.links)
        kept = None if skipped else content_id
        if skipped:
            # Before the page is locked: ingest locks in this order, too.
            await remove_documents(self._conn, self._tenant_id, [self._page.page_id])
        await store.set_content(
            self._conn,
            self._tenant_id,
            self._page.page_id,
            content_id=kept,
            content_sha256=digest,
            byte_count=len(self._seen.content or b""),
            links=links,
        )
        await self._set_validators()
        if elsewhere:
            await self._find(links, self._page.depth)
        else:
            await self._follow(links)
        if skipped:
            await self._visited(skipped, 0)
        else:
            await document_store.requeue_page(
                self._conn,
                self._tenant_id,
                self._page.page_id,
                self._site.source_id,
                self._conn.now(),
            )
            await jobs.enqueue(self._conn, self._tenant_id, INGEST, self._page.page_id)
            await self._visited("", 0)
        former = [self._page.content_id] if self._page.content_id else []
        return former + ([content_id] if skipped else [])

    async def _reason_to_skip(self) -> tuple[str, str]:
        """Why the page is no document of its own, "" when it is; and which page is it instead."""
        site, page, facts = self._site, self._page, self._seen.facts
        if site.type == "url":
            return "", ""
        if self._seen.url != page.url:
            inside = origin_of(self._seen.url) == origin_of(page.url)
            return "MOVED", self._seen.url if inside or page.depth == 0 else ""
        canonical = _tidy(facts.canonical)
        if canonical and canonical != page.url and origin_of(canonical) == origin_of(page.url):
            known = await store.get_skipped(self._conn, self._tenant_id, site.source_id, canonical)
            # Two pages that name each other must not both go.
            if not known:
                return "CANONICAL", canonical
        if facts.unwanted:
            return "NOINDEX", ""
        if site.type == "crawl" and facts.only_links:
            return "ONLY_LINKS", ""
        return "", ""

    async def _skip(self, reason: str) -> None:
        await remove_documents(self._conn, self._tenant_id, [self._page.page_id])
        await self._visited(reason, 0)

    async def _follow(self, links: list[str]) -> None:
        depth = self._page.depth + 1
        if self._site.type == "crawl" and depth <= self._site.max_depth:
            await self._find(links, depth)

    async def _follow_known(self) -> None:
        """Follows the links that the page had when it was last read."""
        if self._page.skipped in _ELSEWHERE:
            await self._find(self._page.links, self._page.depth)
        else:
            await self._follow(self._page.links)

    async def _find(self, urls: list[str], depth: int) -> None:
        tidied = [url for url in (_tidy(one) for one in urls) if url]
        if depth > 0:
            tidied = wanted(self._site, tidied)
        if not await store.find_pages(self._conn, self._tenant_id, self._site, tidied, depth):
            await store.set_truncated(self._conn, self._tenant_id, self._site.source_id)

    async def _set_validators(self) -> None:
        await store.set_validators(
            self._conn,
            self._tenant_id,
            self._page.page_id,
            self._seen.etag,
            self._seen.last_modified,
        )

    async def _visited(self, skipped: str, misses: int) -> None:
        await store.set_visited(
            self._conn,
            self._tenant_id,
            self._page.page_id,
            run=self._site.run,
            skipped=skipped,
            misses=misses,
        )


def _tidy(url: str) -> str:
    """The address as it is asked for; "" for what is none."""
    try:
        return str(checked_url(url)) if url else ""
    except FetchError:
        return ""
