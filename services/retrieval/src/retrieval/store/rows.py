"""Rows as the statements return them."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source with the state of its document; `external_id` is "" when there is none."""

    source_id: UUID
    document_id: UUID
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
    content_id: UUID
    content_sha256: bytes
    given_title: str
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document; `text` is "" where the text was not asked for."""

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
    update_time: datetime


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

    `slot_count` is one more than the highest slot that was ever used.
    """

    knowledge_version: int
    chunk_count: int
    length_sum: float
    slot_count: int
