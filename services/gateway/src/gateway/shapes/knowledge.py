"""Bodies of knowledge: sources, documents, search."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fleetdesk.retrieval.v1 import document_pb2, retrieval_service_pb2
from msgspec import Meta, Struct, field

from gateway.shapes.common import (
    AnyText,
    SomeText,
    described,
    label_of,
    none_of,
    optional_time,
    time_of,
    value_of,
)
from gateway.text import NO_CONTROLS_PATTERN

_STATUS = "DOCUMENT_STATUS_"
_PENDING = ("queued", "fetching", "parsing", "embedding")
MAX_BATCH = 100
WEBSITES = {
    "url": document_pb2.SOURCE_TYPE_URL,
    "sitemap": document_pb2.SOURCE_TYPE_SITEMAP,
    "crawl": document_pb2.SOURCE_TYPE_CRAWL,
}
# What is given as JSON.
SOURCE_TYPES = ("text", *WEBSITES)


class Site(Struct, frozen=True):
    """How a website is read, and how far that is.

    A run finds pages and visits each once; the other counts are of documents. After a `truncated`
    run, which did not see everything, nothing counts as gone.
    """

    running: bool
    found_count: int
    visited_count: int
    ready_count: int
    pending_count: int
    failed_count: int
    truncated: bool
    max_pages: int
    max_depth: int
    include_paths: list[str]
    exclude_paths: list[str]
    sync_every_s: int
    begin_time: datetime | None
    end_time: datetime | None
    next_sync_time: datetime | None

    @classmethod
    def of(cls, site: document_pb2.Site) -> "Site":
        """From the proto."""
        return cls(
            running=site.running,
            found_count=site.found_count,
            visited_count=site.visited_count,
            ready_count=site.ready_count,
            pending_count=site.pending_count,
            failed_count=site.failed_count,
            truncated=site.truncated,
            max_pages=site.max_pages,
            max_depth=site.max_depth,
            include_paths=list(site.include_paths),
            exclude_paths=list(site.exclude_paths),
            sync_every_s=site.sync_every_s,
            begin_time=optional_time(site, "begin_time"),
            end_time=optional_time(site, "end_time"),
            next_sync_time=optional_time(site, "next_sync_time"),
        )


class Source(Struct, frozen=True):
    """A thing given as knowledge. `error` says what to do when `status` is `failed`.

    A website (`url`, `sitemap`, `crawl`) has a `site` and many documents, so no `document_id`.
    `chunk_count` passages can be found; of the `passage_count` that were read last,
    `embedded_count` have their vector.
    """

    source_id: str
    document_id: str
    type: str | None
    external_id: str
    title: str
    url: str
    file_name: str
    media_type: str
    byte_count: int
    status: str | None
    error: str
    error_reason: str
    chunk_count: int
    passage_count: int
    embedded_count: int
    create_time: datetime
    update_time: datetime
    site: Site | None

    @classmethod
    def of(cls, source: document_pb2.Source) -> "Source":
        """From the proto."""
        return cls(
            source_id=source.source_id,
            document_id=source.document_id,
            type=label_of(document_pb2.SourceType, source.type, "SOURCE_TYPE_"),
            external_id=source.external_id,
            title=source.title,
            url=source.url,
            file_name=source.file_name,
            media_type=source.media_type,
            byte_count=source.byte_count,
            status=label_of(document_pb2.DocumentStatus, source.status, _STATUS),
            error=source.error,
            error_reason=source.error_reason,
            chunk_count=source.chunk_count,
            passage_count=source.passage_count,
            embedded_count=source.embedded_count,
            create_time=time_of(source.create_time),
            update_time=time_of(source.update_time),
            site=Site.of(source.site) if source.HasField("site") else None,
        )


class SourceList(Struct, frozen=True):
    """Sources, newest first; `counts` says how many there are in each state, filtered or not.

    So do `passage_count`, the passages that were read, and `embedded_count`, those with a vector.
    """

    items: list[Source]
    next_page_token: str
    counts: dict[str, int]
    passage_count: int
    embedded_count: int

    @classmethod
    def of(cls, found: retrieval_service_pb2.ListSourcesResponse) -> "SourceList":
        """From the proto."""
        counts = {
            label_of(document_pb2.DocumentStatus, entry.status, _STATUS) or "": entry.count
            for entry in found.counts
        }
        items = [Source.of(source) for source in found.sources]
        return cls(items, found.next_page_token, counts, found.passage_count, found.embedded_count)


# The beginning of an address's path.
_PATH = r'^/[^?#\\<>^`{|}"\x00-\x20\x7f-\xa0\u2028\u2029]*$'
Paths = Annotated[
    list[Annotated[str, Meta(pattern=_PATH, max_length=200)]],
    Meta(max_length=20),
]


class SourceRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Knowledge given as JSON: a `text`, or a website; files come as multipart forms.

    Of a website, `url` is a page (type `url`), a sitemap (`sitemap`), or where following links
    begins (`crawl`); `max_pages` and `max_depth` are 500 and 5 when 0, and a text has neither. Of a
    sitemap or crawl only pages are read whose path begins with one of `include_paths`, where there
    are any, and with none of `exclude_paths`; the page that a crawl begins with is always read.
    """

    type: Annotated[str, described(enum=SOURCE_TYPES)]
    text: AnyText = ""
    title: Annotated[str, Meta(max_length=512)] = ""
    url: Annotated[str, described(pattern="^(https?://.+)?$"), Meta(max_length=2048)] = ""
    external_id: Annotated[str, described(pattern=NO_CONTROLS_PATTERN), Meta(max_length=512)] = ""
    max_pages: Annotated[int, Meta(ge=0, le=10_000)] = 0
    max_depth: Annotated[int, Meta(ge=0, le=20)] = 0
    include_paths: Paths = field(default_factory=list)
    exclude_paths: Paths = field(default_factory=list)


class ScheduleRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """How often a website is read again: 3,600 (hourly) to 2,678,400 (31 days), or 0 for never."""

    sync_every_s: Annotated[int, Meta(ge=0, le=2_678_400), none_of(1, 3_599)]


class BatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """1–100 sources."""

    sources: Annotated[list[SourceRequest], Meta(min_length=1, max_length=MAX_BATCH)]


class BatchItem(Struct, frozen=True, omit_defaults=True):
    """What became of one source of a batch: taken, or refused with field and remedy."""

    source: Source | None = None
    error: str | None = None
    error_reason: str | None = None
    error_field: str | None = None


class BatchResponse(Struct, frozen=True):
    """What became of each source, in the order given."""

    items: list[BatchItem]


class Document(Struct, frozen=True, omit_defaults=True):
    """The text of a source, or of a page of it; lists leave `text` out.

    While it is being embedded, `embedded_count` of `embedding_count` passages are.
    """

    document_id: str
    source_id: str
    external_id: str
    title: str
    url: str
    media_type: str
    status: str | None
    error: str
    chunk_count: int
    update_time: datetime
    language: str
    embedding_count: int
    embedded_count: int
    text: str | None = None

    @classmethod
    def of(cls, document: document_pb2.Document, *, with_text: bool) -> "Document":
        """From the proto."""
        return cls(
            document_id=document.document_id,
            source_id=document.source_id,
            external_id=document.external_id,
            title=document.title,
            url=document.url,
            media_type=document.media_type,
            status=label_of(document_pb2.DocumentStatus, document.status, _STATUS),
            error=document.error,
            chunk_count=document.chunk_count,
            update_time=time_of(document.update_time),
            language=document.language,
            embedding_count=document.embedding_count,
            embedded_count=document.embedded_count,
            text=document.text if with_text else None,
        )


class DocumentList(Struct, frozen=True):
    """Documents, newest first."""

    items: list[Document]
    next_page_token: str


class SearchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A query. `explain` shows each stage's scores; `rerank` orders the first 20 anew."""

    query: SomeText
    top_k: Annotated[int, Meta(ge=1, le=50)] = 5
    explain: bool = False
    rerank: bool = True


class Scores(Struct, frozen=True):
    """Scores of the stages; null where a stage did not find the chunk, or does not exist."""

    dense: float | None
    bm25: float | None
    keyword: float | None
    fused: float | None
    rerank: float | None
    dense_rank: int | None
    bm25_rank: int | None
    fused_rank: int | None

    @classmethod
    def of(cls, scores: document_pb2.Scores) -> "Scores":
        """From the proto."""
        return cls(
            dense=scores.dense if scores.HasField("dense") else None,
            bm25=scores.bm25 if scores.HasField("bm25") else None,
            keyword=scores.keyword if scores.HasField("keyword") else None,
            fused=scores.fused if scores.HasField("fused") else None,
            rerank=scores.rerank if scores.HasField("rerank") else None,
            dense_rank=scores.dense_rank if scores.HasField("dense_rank") else None,
            bm25_rank=scores.bm25_rank if scores.HasField("bm25_rank") else None,
            fused_rank=scores.fused_rank if scores.HasField("fused_rank") else None,
        )


class SearchResult(Struct, frozen=True):
    """A passage. `start` and `end` count Unicode code points of the document's text."""

    document_id: str
    source_id: str
    external_id: str
    chunk_id: str
    title: str
    url: str
    heading_path: list[str]
    text: str
    start: int
    end: int
    score: float
    scores: Scores | None

    @classmethod
    def of(cls, result: document_pb2.SearchResult) -> "SearchResult":
        """From the proto."""
        return cls(
            document_id=result.document_id,
            source_id=result.source_id,
            external_id=result.external_id,
            chunk_id=result.chunk_id,
            title=result.title,
            url=result.url,
            heading_path=list(result.heading_path),
            text=result.text,
            start=result.start,
            end=result.end,
            score=result.score,
            scores=Scores.of(result.scores) if result.HasField("scores") else None,
        )


class SearchResponse(Struct, frozen=True):
    """Passages, best first. `relevance` is the probability that they answer the query.

    `rerank_reason` says why the order is not the reranker's although it was asked for.
    """

    results: list[SearchResult]
    relevance: float
    reranked: bool
    rerank_reason: str
    rerank_model: str
    knowledge_version: int


StatusFilter = Literal["pending", "queued", "fetching", "parsing", "embedding", "ready", "failed"]


def statuses_of(label: StatusFilter | None) -> list[Any]:
    """The states that a filter means; `pending` is any before ready or failed."""
    if label is None:
        return []
    labels = _PENDING if label == "pending" else (label,)
    return [value_of(document_pb2.DocumentStatus, one, _STATUS, "status") for one in labels]
