"""Frames between the service and a parsing worker, over the worker's standard streams.

A frame is two big-endian unsigned 32-bit lengths, that many bytes of JSON, that many raw bytes.
Requests carry what is asked ("op") with its options, and the file; replies are {"progress": n},
{"error": {…}}, {"document": {…}} with the text as raw UTF-8, or {"facts": {…}}.
"""

import json
import struct
from dataclasses import asdict
from typing import Any, BinaryIO

from retrieval.parsing.chunking import ChunkSizes
from retrieval.parsing.dispatch import ParseLimits
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.facts import PageFacts, RobotsFacts, SitemapFacts
from retrieval.parsing.prepare import PreparedChunk, PreparedDocument, PrepareOptions

PREPARE, PAGE, SITEMAP, ROBOTS = "prepare", "page", "sitemap", "robots"
LENGTHS = struct.Struct(">II")


def frame(head: dict[str, Any], body: bytes = b"") -> bytes:
    """One frame."""
    encoded = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    return LENGTHS.pack(len(encoded), len(body)) + encoded + body


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next frame; None at the end of the stream."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head_length, body_length = LENGTHS.unpack(lengths)
    return json.loads(stream.read(head_length)), stream.read(body_length)


def options_head(options: PrepareOptions) -> dict[str, Any]:
    """The head of a request to prepare a document."""
    return {"op": PREPARE, **asdict(options)}


def options_of(head: dict[str, Any]) -> PrepareOptions:
    """The options in the head of a request."""
    return PrepareOptions(
        title=head["title"],
        fallback_title=head["fallback_title"],
        limits=ParseLimits(**head["limits"]),
        sizes=ChunkSizes(**head["sizes"]),
        max_chunks=head["max_chunks"],
    )


def document_frame(document: PreparedDocument) -> bytes:
    """The reply with a document."""
    chunks = [
        [c.start, c.end, list(c.heading_path), c.token_count, c.terms] for c in document.chunks
    ]
    head = {
        "media_type": document.media_type,
        "title": document.title,
        "language": document.language,
        "chunks": chunks,
    }
    return frame({"document": head}, document.text.encode())


def document_of(head: dict[str, Any], body: bytes) -> PreparedDocument:
    """The document of a reply."""
    chunks = tuple(
        PreparedChunk(start, end, tuple(path), token_count, terms)
        for start, end, path, token_count, terms in head["chunks"]
    )
    return PreparedDocument(
        head["media_type"], head["title"], body.decode(), head["language"], chunks
    )


def facts_frame(facts: PageFacts | SitemapFacts | RobotsFacts) -> bytes:
    """The reply with what was found out."""
    return frame({"facts": asdict(facts)})


def page_facts(facts: dict[str, Any]) -> PageFacts:
    """The facts of a page in a reply."""
    return PageFacts(**{**facts, "links": tuple(facts["links"])})


def sitemap_facts(facts: dict[str, Any]) -> SitemapFacts:
    """The facts of a sitemap in a reply."""
    pages = tuple((url, changed) for url, changed in facts["pages"])
    return SitemapFacts(pages, tuple(facts["sitemaps"]))


def robots_facts(facts: dict[str, Any]) -> RobotsFacts:
    """The facts of a robots.txt in a reply."""
    allowed, sitemaps = tuple(facts["allowed"]), tuple(facts["sitemaps"])
    return RobotsFacts(allowed, facts["crawl_delay_s"], sitemaps)


def error_frame(error: DocumentError) -> bytes:
    """The reply that refuses a document."""
    return frame({"error": {"reason": error.reason, "message": error.message}})
