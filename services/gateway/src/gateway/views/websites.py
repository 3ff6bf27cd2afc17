"""A website as a source: how far its reading is, and its pages."""

from dataclasses import dataclass, replace
from datetime import datetime

from fleetdesk.retrieval.v1 import document_pb2 as doc
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb

from gateway.views.format import When, count, when_of
from gateway.views.frame import Badge, link
from gateway.views.progress import Progress, Step, progress_of

KINDS = {
    "crawl": "The whole site, by following its links",
    "sitemap": "The pages that its sitemap lists",
    "url": "This one page",
}
SCHEDULES = {
    "0": "Only when asked",
    "3600": "Every hour",
    "86400": "Every day",
    "604800": "Every week",
    "2592000": "Every 30 days",
}
TYPE_LABELS: dict[int, str] = {
    doc.SOURCE_TYPE_URL: "Web page",
    doc.SOURCE_TYPE_SITEMAP: "Website, by its sitemap",
    doc.SOURCE_TYPE_CRAWL: "Website, by its links",
}
_BADGES: dict[int, Badge] = {
    doc.DOCUMENT_STATUS_QUEUED: Badge("Waiting", "clock"),
    doc.DOCUMENT_STATUS_FETCHING: Badge("Fetching", "loader-circle", "busy"),
    doc.DOCUMENT_STATUS_PARSING: Badge("Reading", "loader-circle", "busy"),
    doc.DOCUMENT_STATUS_EMBEDDING: Badge("Indexing", "loader-circle", "busy"),
    doc.DOCUMENT_STATUS_READY: Badge("Ready", "circle-check", "good"),
    doc.DOCUMENT_STATUS_FAILED: Badge("Failed", "circle-alert", "bad"),
}


@dataclass(frozen=True, slots=True)
class PageRow:
    """One page as a row."""

    title: str
    url: str
    href: str
    badge: Badge
    error: str
    passages: str
    updated: When


@dataclass(frozen=True, slots=True)
class WebsiteView:
    """A website with one page of its pages."""

    source_id: str
    title: str
    url: str
    kind: str
    paths: str
    include_paths: tuple[str, ...]
    exclude_paths: tuple[str, ...]
    is_one_page: bool
    badge: Badge
    headline: str
    error: str
    progress: Progress
    truncated: str
    synced: When | None
    schedule: str
    schedules: tuple[tuple[str, str], ...]
    rows: tuple[PageRow, ...]
    self_href: str
    next_href: str
    first_href: str


def badge_of(status: int, embedded: int = 0, of: int = 0) -> Badge:
    """A status in an icon and a word, with how many of its passages are embedded by now."""
    badge = _BADGES.get(status, Badge("Unknown", "circle-question-mark"))
    is_embedding = status == doc.DOCUMENT_STATUS_EMBEDDING and of
    return replace(badge, label=f"{badge.label} {embedded:,}/{of:,}") if is_embedding else badge


def progress(site: doc.Site) -> str:
    """How far the reading is, in a sentence with numbers."""
    if site.running and not site.found_count:
        return "Its pages are being looked for."
    if site.running:
        return f"{site.visited_count:,} of {count(site.found_count, 'page')} fetched so far."
    parts = [f"{count(site.ready_count, 'page')} can be found"]
    if site.pending_count:
        verb = "is" if site.pending_count == 1 else "are"
        parts.append(f"{site.pending_count:,} {verb} being read")
    if site.failed_count:
        parts.append(f"{site.failed_count:,} could not be read")
    return ", ".join(parts) + "."


def website_view(
    source: doc.Source, documents: pb.ListDocumentsResponse, now: datetime, page_token: str
) -> WebsiteView:
    """The page of a website."""
    site = source.site
    path = f"/knowledge/websites/{source.source_id}"
    truncated = (
        "The last run did not see everything, because a limit was reached or a part of the sitemap "
        f"could not be read. It visits at most {count(site.max_pages, 'page')}; pages that it did "
        "not see stay."
    )
    settled = site.ready_count + site.failed_count
    every = str(site.sync_every_s)
    known = {every: f"Every {site.sync_every_s:,} seconds", **SCHEDULES}
    return WebsiteView(
        source_id=source.source_id,
        title=source.title,
        url=source.url,
        kind=TYPE_LABELS.get(source.type, "Website"),
        paths=_paths(site),
        include_paths=tuple(site.include_paths),
        exclude_paths=tuple(site.exclude_paths),
        is_one_page=source.type == doc.SOURCE_TYPE_URL,
        badge=badge_of(source.status),
        headline=progress(site),
        error=source.error if source.status == doc.DOCUMENT_STATUS_FAILED else "",
        progress=progress_of(
            (
                Step("Fetched", site.visited_count, site.found_count, "page"),
                Step("Read", settled, settled + site.pending_count, "document"),
                Step("Embedded", source.embedded_count, source.passage_count, "passage"),
            ),
            is_busy=site.running or site.pending_count > 0,
            ended=progress(site),
        ),
        truncated=truncated if site.truncated and not site.running else "",
        synced=when_of(site.end_time, now) if site.HasField("end_time") else None,
        schedule=every,
        schedules=tuple(known.items()),
        rows=tuple(_page_row(document, now) for document in documents.documents),
        self_href=link(path, page_token=page_token),
        next_href=link(path, page_token=documents.next_page_token)
        if documents.next_page_token
        else "",
        first_href=path if page_token else "",
    )


def _paths(site: doc.Site) -> str:
    """Which pages are read, where not all are."""
    only = f"Only {', '.join(site.include_paths)}" if site.include_paths else ""
    without = f"without {', '.join(site.exclude_paths)}" if site.exclude_paths else ""
    said = ", ".join(part for part in (only, without) if part)
    return said[:1].upper() + said[1:]


def _page_row(document: doc.Document, now: datetime) -> PageRow:
    ready = document.status == doc.DOCUMENT_STATUS_READY
    return PageRow(
        title=document.title,
        url=document.url,
        href=f"/documents/{document.document_id}" if document.chunk_count else "",
        badge=badge_of(document.status, document.embedded_count, document.embedding_count),
        error=document.error,
        passages=f"{document.chunk_count:,}" if ready else "",
        updated=when_of(document.update_time, now),
    )
