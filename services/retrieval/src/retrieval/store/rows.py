"""Rows as the statements return them."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source with the state of its document, or of its documents together for a website.

    `external_id` is "" when there is none; `document_id` is None for a website. `chunk_count` can
    be found; `passage_count` were read last, of which `embedded_count` have their vector.
    """

    source_id: UUID
    document_id: UUID | None
    type: str
    external_id: str
    title: str
    url: str
    file_name: str
    media_type: str
    byte_count: int
    status: str
    error: str
    error_reason: str
    chunk_count: int
    revision: int
    content_id: UUID | None
    content_sha256: bytes | None
    given_title: str
    create_time: datetime
    update_time: datetime
    passage_count: int = 0
    embedded_count: int = 0
    site: "SiteProgress | None" = None


@dataclass(frozen=True, slots=True)
class SiteProgress:
    """How far the reading of a website is, and how it is read.

    `found` and `visited` are pages of the present or last run, the others documents by state.
    """

    is_running: bool
    found: int
    visited: int
    ready: int
    pending: int
    failed: int
    truncated: bool
    max_pages: int
    max_depth: int
    include_paths: list[str]
    exclude_paths: list[str]
    sync_every_s: int
    begin_time: datetime | None
    end_time: datetime | None
    next_sync_time: datetime | None


@dataclass(frozen=True, slots=True)
class SiteLimits:
    """The most pages that a run visits, how many links away from the first they may be, and which.

    Wanted are paths that begin with one of `include_paths`, or all, but with none of
    `exclude_paths`.
    """

    max_pages: int
    max_depth: int
    include_paths: tuple[str, ...] = ()
    exclude_paths: tuple[str, ...] = ()


# 0 stands for the usual ones.
USUAL_LIMITS = SiteLimits(0, 0)


@dataclass(frozen=True, slots=True)
class SiteRow:
    """A website as a run needs it."""

    source_id: UUID
    type: str
    url: str
    state: str
    run: int
    planned: bool
    truncated: bool
    max_pages: int
    max_depth: int
    include_paths: list[str]
    exclude_paths: list[str]
    begin_time: datetime | None
    sync_every_s: int


@dataclass(frozen=True, slots=True)
class PageRow:
    """A page to visit; `status` is its document's, "" when it has none (`skipped` says why)."""

    page_id: UUID
    url: str
    depth: int
    attempts: int
    misses: int
    skipped: str
    etag: str
    last_modified: str
    links: list[str]
    content_id: UUID | None
    content_sha256: bytes | None
    revision: int
    status: str


@dataclass(frozen=True, slots=True)
class OriginalRow:
    """What a document is read from: a file, a text, or a page as it was fetched."""

    document_id: UUID
    source_id: UUID
    content_id: UUID
    revision: int
    given_title: str
    fallback_title: str
    error_reason: str


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document; `text` is "" where the text was not asked for.

    `embedding_count` is 0 unless it is being embedded: then `embedded_count` of so many are done.
    """

    document_id: UUID
    source_id: UUID
    external_id: str
    title: str
    url: str
    text: str
    status: str
    error: str
    chunk_count: int
    media_type: str
    language: str
    update_time: datetime
    embedding_count: int
    embedded_count: int


@dataclass(frozen=True, slots=True)
class PassageCounts:
    """Passages as they were read last, and how many of them have their vector."""

    passages: int
    embedded: int


@dataclass(frozen=True, slots=True)
class PassageRow:
    """A chunk with what a citation of it needs; `slot` is its place in the index.

    The slot is -1 while the chunk is only in the former layout of the index.
    """

    chunk_no: int
    slot: int
    chunk_id: UUID
    document_id: UUID
    source_id: UUID
    external_id: str
    title: str
    url: str
    heading_path: list[str]
    text: str
    span_start: int
    span_end: int


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk to store; `embedding` as pgvector's text, `terms` with their weights."""

    chunk_id: UUID
    ordinal: int
    heading_path: list[str]
    span_start: int
    span_end: int
    token_count: int
    text: str
    input_sha256: bytes
    embedding: str
    terms: dict[str, float]
    length: float


@dataclass(frozen=True, slots=True)
class KnownVectors:
    """Vectors of one model, as pgvector's text, by the SHA-256 of what was embedded.

    `tokens` are the token vectors of those that have some.
    """

    model: str
    by_input: dict[bytes, str]
    tokens: dict[bytes, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IndexStat:
    """Size of a tenant's index, and the version of its knowledge; all 0 before the first.

    `slot_count` is one more than the highest slot that was ever used; `model` the one whose vectors
    searches read, "" before the first passage; `languages` are those of the documents.
    """

    knowledge_version: int
    chunk_count: int
    length_sum: float
    slot_count: int
    model: str = ""
    languages: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EmbeddingSetting:
    """A tenant's choice of a model ("" for the deployment's), and the change that is under way.

    `target_model` has its version, and is "" before the first answer told it.
    """

    embed_model: str = ""
    target_model: str = ""
    begin_time: datetime | None = None
    error_reason: str = ""


@dataclass(frozen=True, slots=True)
class UnembeddedRow:
    """A passage that lacks vectors of a model."""

    chunk_no: int
    slot: int
    document_id: UUID
    title: str
    heading_path: list[str]
    text: str
