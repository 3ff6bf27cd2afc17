"""Asking websites: robots.txt, sitemaps and pages, each as one outcome. Nothing is stored here."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fleetkit.fetch import Fetched, Fetcher, FetchError

from retrieval.parsing.errors import DocumentError
from retrieval.parsing.facts import PageFacts
from retrieval.parsing.pool import ParsingPool
from retrieval.store.rows import PageRow, SiteRow

_MAX_ROBOTS_BYTES = 512 * 1024
_MAX_SITEMAPS = 100
_MAX_SITEMAP_DEPTH = 3
_PAGES = "text/html,application/xhtml+xml,application/pdf;q=0.9,*/*;q=0.8"
_MAX_VALIDATOR_CHARS = 256


class SiteError(Exception):
    """Why a website can't be read; `passing` says whether trying again soon may help."""

    def __init__(self, reason: str, message: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Manners:
    """What the site wants of us: its robots.txt, and the pause between two requests."""

    robots: str = ""
    pause_s: float = 0.0
    sitemaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """What sitemaps list; `whole` is False when one of them could not be read.

    `changes` is when each is said to have changed last, as it stands there, "" where it does not.
    """

    changes: dict[str, str]
    whole: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of asking for a page.

    Exactly one of these: `unchanged`; `content` with `facts`; `gone` (404, or 410 which is for
    good); or an `error_reason` with its sentence.
    """

    url: str = ""
    unchanged: bool = False
    content: bytes | None = None
    facts: PageFacts = field(default_factory=PageFacts)
    etag: str = ""
    last_modified: str = ""
    gone: bool = False
    for_good: bool = False
    error_reason: str = ""
    error: str = ""
    passing: bool = False


class Web:
    """Asks by the fleet's fetch client, and has what comes back read by the parsing workers."""

    def __init__(
        self, fetcher: Fetcher, pool: ParsingPool, *, pause_s: float, max_pause_s: float
    ) -> None:
        self._fetcher = fetcher
        self._pool = pool
        self._pause_s = pause_s
        self._max_pause_s = max_pause_s

    async def manners(self, site: SiteRow) -> Manners:
        """What the site's robots.txt says; SiteError when its start may not be fetched.

        A site without one allows everything; one whose robots.txt fails allows nothing.
        """
        if site.type == "url":
            return Manners()
        robots = await self._robots(f"{origin_of(site.url)}/robots.txt")
        try:
            facts = await self._pool.read_robots(robots, [site.url])
        except DocumentError as error:
            raise SiteError("ROBOTS_UNREADABLE", "The site's robots.txt can't be read.") from error
        if site.type == "crawl" and not facts.allowed:
            raise SiteError(
                "ROBOTS_FORBIDDEN",
                "The site's robots.txt does not allow this page to be read. Ask its operator to "
                "allow FleetdeskBot, or begin with another page.",
            )
        pause_s = min(max(self._pause_s, facts.crawl_delay_s), self._max_pause_s)
        return Manners(robots, pause_s, facts.sitemaps)

    async def sitemap(self, site: SiteRow, manners: Manners) -> Listed:
        """All pages of the site's own origin in its sitemap, and in those that it names.

        Asked for a page that is no sitemap, it takes those of robots.txt, or /sitemap.xml.
        """
        try:
            return await self._list([site.url], site, manners)
        except SiteError as error:
            others = [*manners.sitemaps] or [f"{origin_of(site.url)}/sitemap.xml"]
            if error.reason != "BROKEN_SITEMAP" or site.url in others:
                raise
            return await self._list(others, site, manners)

    async def page(self, site: SiteRow, page: PageRow, manners: Manners) -> Seen:
        """Asks for a page, with its validators when what we have of it is fine."""
        settled = page.status == "ready" or (page.status == "" and page.skipped != "")
        etag, modified = (page.etag, page.last_modified) if settled else ("", "")
        try:
            got = await self._fetcher.get(
                page.url, accept=_PAGES, etag=etag, last_modified=modified
            )
        except FetchError as error:
            return Seen(error_reason=error.reason, error=error.message, passing=error.passing)
        if got.status == 304:
            return Seen(url=page.url, unchanged=True)
        if got.status in (404, 410):
            return Seen(gone=True, for_good=got.status == 410)
        if got.status != 200:
            return _refused(got.status)
        return await self._read(site, got, manners)

    async def _read(self, site: SiteRow, got: Fetched, manners: Manners) -> Seen:
        facts = PageFacts()
        if site.type != "url":
            try:
                facts = await self._pool.read_page(got.body, got.url, manners.robots)
            except DocumentError as error:
                return Seen(error_reason=error.reason, error=error.message)
        wishes = got.headers.get("x-robots-tag", "").lower()
        if site.type != "url" and ("noindex" in wishes or "none" in wishes):
            facts = PageFacts(facts.links, facts.canonical, True, facts.only_links)
        return Seen(
            url=got.url,
            content=got.body,
            facts=facts,
            etag=_validator(got.headers.get("etag", "")),
            last_modified=_validator(got.headers.get("last-modified", "")),
        )

    async def _robots(self, url: str) -> str:
        try:
            got = await self._fetcher.get(url, accept="text/plain,*/*;q=0.5")
        except FetchError as error:
            raise SiteError(error.reason, error.message, passing=error.passing) from error
        if got.status >= 500 or got.status == 429:
            raise SiteError(
                "ROBOTS_UNAVAILABLE",
                f"The site's robots.txt answers with error {got.status}, so nothing is read for "
                "now. Try again later.",
                passing=True,
            )
        if got.status != 200:
            return ""
        return got.body[:_MAX_ROBOTS_BYTES].decode("utf-8", errors="replace")

    async def _list(self, urls: Sequence[str], site: SiteRow, manners: Manners) -> Listed:
        """SiteError when not even one of `urls` can be read."""
        waiting = [(url, 0) for url in urls]
        seen: set[str] = set()
        pages: dict[str, str] = {}
        whole, read = True, False
        failure = SiteError("BROKEN_SITEMAP", "The sitemap names no page of its own site.")
        while waiting and len(pages) <= site.max_pages:
            url, depth = waiting.pop(0)
            if url in seen:
                continue
            seen.add(url)
            try:
                found, nested = await self._one_sitemap(url, manners)
            except SiteError as error:
                whole, failure = False, error
                continue
            read = True
            pages.update((page, said) for page, said in found if origin_of(page) == origin_of(url))
            if depth >= _MAX_SITEMAP_DEPTH or len(seen) + len(nested) > _MAX_SITEMAPS:
                whole = whole and not nested
            else:
                waiting += [(next_url, depth + 1) for next_url in nested]
            if waiting:
                await asyncio.sleep(manners.pause_s)
        if not pages:
            raise failure if not read else SiteError("BROKEN_SITEMAP", _NO_PAGES)
        return Listed(pages, whole and not waiting)

    async def _one_sitemap(
        self, url: str, manners: Manners
    ) -> tuple[Sequence[tuple[str, str]], tuple[str, ...]]:
        try:
            got = await self._fetcher.get(url, accept="application/xml,text/xml,*/*;q=0.5")
            if got.status != 200:
                passing = got.status >= 500 or got.status == 429
                raise SiteError(
                    "BROKEN_SITEMAP",
                    f"The sitemap's address answers with error {got.status}. Check the address.",
                    passing=passing,
                )
            facts = await self._pool.read_sitemap(got.body, manners.robots)
        except FetchError as error:
            raise SiteError(error.reason, error.message, passing=error.passing) from error
        except DocumentError as error:
            raise SiteError(error.reason, error.message) from error
        return facts.pages, facts.sitemaps


_NO_PAGES = (
    "The sitemap names no page of its own site that may be read. Check the address, and what the "
    "site's robots.txt allows."
)


def wanted(site: SiteRow, urls: Iterable[str]) -> list[str]:
    """Those whose path begins as the site's limits have it; `urls` as they are asked for."""
    included, excluded = tuple(site.include_paths), tuple(site.exclude_paths)
    paths = ((url, urlsplit(url).path or "/") for url in urls)
    return [
        url
        for url, path in paths
        if (not included or path.startswith(included)) and not path.startswith(excluded)
    ]


def origin_of(url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _validator(value: str) -> str:
    """An ETag or date as given; "" when it is too long to be one."""
    return value if len(value) <= _MAX_VALIDATOR_CHARS else ""


def _refused(status: int) -> Seen:
    if status in (401, 403, 407, 451):
        message = (
            f"The site does not let this page be read (answer {status}). Ask its operator to let "
            "FleetdeskBot in, or upload the page as a file."
        )
    elif status >= 500 or status == 429:
        message = f"The site had an error of its own (answer {status}). Try again later."
    else:
        message = f"The site gave no page (answer {status}). Check the address."
    passing = status >= 500 or status == 429
    return Seen(error_reason=f"HTTP_{status}", error=message, passing=passing)
