"""The list of documents."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleetdesk.retrieval.v1 import document_pb2 as doc
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb

from gateway.views.format import When, count, size, when_of
from gateway.views.frame import Badge, Tab, link
from gateway.views.progress import Progress, Step, progress_of
from gateway.views.tables import Column, columns
from gateway.views.websites import TYPE_LABELS, badge_of, progress

PENDING = (
    doc.DOCUMENT_STATUS_QUEUED,
    doc.DOCUMENT_STATUS_FETCHING,
    doc.DOCUMENT_STATUS_PARSING,
    doc.DOCUMENT_STATUS_EMBEDDING,
)
STATUS_FILTERS = {
    "": (),
    "ready": (doc.DOCUMENT_STATUS_READY,),
    "pending": PENDING,
    "failed": (doc.DOCUMENT_STATUS_FAILED,),
}
_PHRASE_CHARS = 24
_KINDS = {
    "text/markdown": "Markdown",
    "text/html": "HTML",
    "text/plain": "Text",
    "application/pdf": "PDF",
    "text/csv": "Questions and answers",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "Word",
}


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One source as a row."""

    source_id: str
    title: str
    detail: str
    badge: Badge
    error: str
    passages: str
    size: str
    created: When
    href: str
    can_retry: bool


@dataclass(frozen=True, slots=True)
class SourceList:
    """The list with what stands around it."""

    rows: tuple[SourceRow, ...]
    tabs: tuple[Tab, ...]
    headline: str
    total: int
    progress: Progress
    filter: str
    status: str
    self_href: str
    next_href: str
    first_href: str
    columns: tuple[Column, ...]
    partial: bool

    @property
    def filtered(self) -> bool:
        """Whether the list shows less than there is by the person's wish."""
        return bool(self.filter or self.status)


def kind_of(media_type: str) -> str:
    """A media type as people call it."""
    return _KINDS.get(media_type, media_type or "File")


def source_row(source: doc.Source, now: datetime) -> SourceRow:
    """A source as a row."""
    name = source.title or source.file_name or source.external_id or "Untitled"
    ready = source.status == doc.DOCUMENT_STATUS_READY
    is_site = source.HasField("site")
    href = f"/documents/{source.document_id}" if ready and source.document_id else ""
    details = (
        f"{TYPE_LABELS.get(source.type, 'Website')} · {progress(source.site)}"
        if is_site
        else kind_of(source.media_type),
        source.file_name if source.file_name != name else "",
        source.external_id if source.external_id not in (name, source.file_name) else "",
    )
    return SourceRow(
        source_id=source.source_id,
        title=name,
        detail=" · ".join(part for part in details if part),
        badge=badge_of(source.status)
        if is_site
        else badge_of(source.status, source.embedded_count, source.passage_count),
        error=source.error if source.status == doc.DOCUMENT_STATUS_FAILED else "",
        passages=f"{source.chunk_count:,}" if ready else "",
        size=size(source.byte_count),
        created=when_of(source.create_time, now),
        href=f"/knowledge/websites/{source.source_id}" if is_site else href,
        can_retry=source.status == doc.DOCUMENT_STATUS_FAILED,
    )


def headline(counts: Mapping[Any, int]) -> str:
    """What can be found, in a sentence with numbers."""
    ready = counts.get(doc.DOCUMENT_STATUS_READY, 0)
    pending = sum(counts.get(status, 0) for status in PENDING)
    failed = counts.get(doc.DOCUMENT_STATUS_FAILED, 0)
    if not counts or not (ready or pending or failed):
        return "Nothing yet: your agent can only say what your documents say."
    parts = [f"{count(ready, 'document')} can be found"]
    if pending:
        parts.append(f"{pending:,} {'is' if pending == 1 else 'are'} being read")
    if failed:
        parts.append(f"{failed:,} could not be read")
    return ", ".join(parts) + "."


def status_tabs(counts: Mapping[Any, int], status: str, needle: str) -> tuple[Tab, ...]:
    """Links to the states, with how many are in each."""
    labels = {"": "All", "ready": "Ready", "pending": "In progress", "failed": "Failed"}
    return tuple(
        Tab(
            label=label,
            href=link("/knowledge", status=key, filter=needle),
            current=key == status,
            count=sum(
                number
                for state, number in counts.items()
                if not STATUS_FILTERS[key] or state in STATUS_FILTERS[key]
            ),
        )
        for key, label in labels.items()
    )


def counts_of(response: pb.ListSourcesResponse) -> dict[int, int]:
    """How many sources there are in each state."""
    return {item.status: item.count for item in response.counts}


_LABELS = {
    "title": "Document",
    "status": "Status",
    "passages": "Passages",
    "size": "Size",
    "added": "Added",
}
_SORT_KEYS = {
    "title": lambda source: (source.title or source.file_name).casefold(),
    "status": lambda source: source.status,
    "passages": lambda source: source.chunk_count,
    "size": lambda source: source.byte_count,
    "added": lambda source: source.create_time.ToNanoseconds(),
}


def sorted_sources(sources: Iterable[doc.Source], sort: str, descending: bool) -> list[doc.Source]:
    """The sources by one column; as they came (newest first) when `sort` names none."""
    if sort not in _SORT_KEYS:
        return list(sources)
    return sorted(sources, key=_SORT_KEYS[sort], reverse=descending)


def source_list(
    response: pb.ListSourcesResponse,
    now: datetime,
    *,
    status: str = "",
    needle: str = "",
    page_token: str = "",
    sort: str = "",
    descending: bool = False,
) -> SourceList:
    """The page of documents as asked for."""
    counts = counts_of(response)
    documents = {item.status: item.count for item in response.document_counts}
    read = sum(number for state, number in documents.items() if state not in PENDING)
    state = {"status": status, "filter": needle}
    order = {"sort": sort, "dir": "desc" if descending else ""}
    return SourceList(
        rows=tuple(
            source_row(source, now) for source in sorted_sources(response.sources, sort, descending)
        ),
        tabs=status_tabs(counts, status, needle),
        headline=headline(documents),
        total=sum(counts.values()),
        progress=progress_of(
            (
                Step("Read", read, sum(documents.values()), "document"),
                Step("Embedded", response.embedded_count, response.passage_count, "passage"),
            ),
            is_busy=any(counts.get(state) for state in PENDING),
            # Of all that there ever was, quarters would say nothing.
            busy="Documents are being read.",
            ended=headline(documents),
        ),
        filter=needle,
        status=status,
        self_href=link("/knowledge", **state, **order, page_token=page_token),
        next_href=link("/knowledge", **state, **order, page_token=response.next_page_token)
        if response.next_page_token
        else "",
        first_href=link("/knowledge", **state, **order) if page_token else "",
        columns=columns(
            _LABELS,
            link_to=lambda **order: link("/knowledge", **state, **order, page_token=page_token),
            sort=sort,
            descending=descending,
        ),
        partial=bool(page_token or response.next_page_token),
    )


@dataclass(frozen=True, slots=True)
class DeleteSource:
    """What a deletion destroys, and what to type to confirm it."""

    source_id: str
    title: str
    what: str
    phrase: str
    error: str


def delete_source_view(source: doc.Source, error: str = "") -> DeleteSource:
    """The question before a source is deleted."""
    title = source.title or source.file_name or "Untitled"
    passages = count(source.chunk_count, "passage")
    original = f"the original ({size(source.byte_count)})"
    pages = count(source.site.ready_count + source.site.failed_count, "page")
    is_site = source.HasField("site")
    return DeleteSource(
        source_id=source.source_id,
        title=title,
        what=f"the website with its {pages} and {passages}"
        if is_site
        else f"the document, its {passages}, and {original}",
        phrase=confirmation(title),
        error=error,
    )


def confirmation(name: str) -> str:
    """What to type to confirm: the name, or its first words when it is long."""
    words = name.split() or ["delete"]
    phrase = words[0]
    for word in words[1:]:
        if len(phrase) + len(word) >= _PHRASE_CHARS:
            break
        phrase = f"{phrase} {word}"
    return phrase[: 2 * _PHRASE_CHARS]


def is_confirmed(phrase: str, typed: str) -> bool:
    """Whether what was typed is the phrase, but for case and spaces."""
    return " ".join(typed.split()).casefold() == phrase.casefold()
