"""A document's text, with the passage or quote that someone came for."""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from fleetdesk.retrieval.v1 import document_pb2 as doc

from gateway.views.format import When, count, when_of
from gateway.views.frame import Badge
from gateway.views.knowledge import kind_of
from gateway.views.websites import badge_of


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of text; `quote` is what was cited, `passage` what the answer was made from."""

    text: str
    passage: bool = False
    quote: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) in Unicode code points."""

    start: int
    end: int

    def within(self, limit: int) -> "Span":
        """The span cut to a text of `limit` characters; empty when it makes no sense."""
        start = min(max(self.start, 0), limit)
        return Span(start, min(max(self.end, start), limit))


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """A document to be read."""

    document_id: str
    source_id: str
    title: str
    url: str
    kind: str
    badge: Badge
    error: str
    passages: str
    updated: When
    segments: tuple[Segment, ...]
    marked: bool
    lost: bool


def document_page(
    document: doc.Document,
    now: datetime,
    chunk: doc.SearchResult | None,
    quote: Span | None,
    *,
    chunk_asked: bool,
) -> DocumentPage:
    """A document with one passage marked, and in it one quote.

    `quote` counts from the chunk's beginning, as citations do; without one the whole passage is
    the quote. `lost` says that the passage asked for is no longer part of the document.
    """
    passage = Span(chunk.start, chunk.end) if chunk else None
    if passage and quote:
        quote = Span(passage.start + quote.start, passage.start + quote.end)
    else:
        quote = passage
    return DocumentPage(
        document_id=document.document_id,
        source_id=document.source_id,
        title=document.title or "Untitled",
        url=document.url,
        kind=kind_of(document.media_type),
        badge=badge_of(document.status),
        error=document.error,
        passages=count(document.chunk_count, "passage"),
        updated=when_of(document.update_time, now),
        segments=segments(document.text, passage, quote),
        marked=passage is not None,
        lost=chunk_asked and chunk is None,
    )


def segments(text: str, passage: Span | None, quote: Span | None) -> tuple[Segment, ...]:
    """The text cut at the edges of passage and quote."""
    passage = (passage or Span(0, 0)).within(len(text))
    quote = (quote or Span(0, 0)).within(len(text))
    cuts = sorted({0, passage.start, passage.end, quote.start, quote.end, len(text)})
    return tuple(
        Segment(
            text[start:end],
            passage=passage.start <= start < passage.end,
            quote=quote.start <= start < quote.end,
        )
        for start, end in pairwise(cuts)
        if end > start
    )
