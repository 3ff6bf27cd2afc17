"""Bytes to everything that ingest stores of a document: text, chunks, and their index terms."""

from collections.abc import Callable
from dataclasses import dataclass, field

from fleetkit.tokens import TokenCounter

from retrieval.index.languages import detect
from retrieval.index.terms import weighted_terms
from retrieval.parsing.chunking import ChunkSizes, chunk
from retrieval.parsing.dispatch import ParseLimits, parse
from retrieval.parsing.document import ParsedDocument
from retrieval.parsing.errors import DocumentError

# How much an occurrence in title or headings counts beside one in the text; measured, see
# tests/eval/README.md.
CONTEXT_WEIGHT = 2.0
_FIRST_LINE_CHARS = 80


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """Limits and sizes; `title` replaces what the document calls itself when not empty.

    `fallback_title` (a file name) is used when the document has no title and no heading.
    """

    title: str = ""
    fallback_title: str = ""
    limits: ParseLimits = field(default_factory=ParseLimits)
    sizes: ChunkSizes = field(default_factory=ChunkSizes)
    max_chunks: int = 20_000


@dataclass(frozen=True, slots=True)
class PreparedChunk:
    """A chunk (`text[start:end]` of the document) and its weighted index terms."""

    start: int
    end: int
    heading_path: tuple[str, ...]
    token_count: int
    terms: dict[str, float]

    @property
    def length(self) -> float:
        """Sum of the weights: the passage's length as BM25 counts it."""
        return sum(self.terms.values(), 0.0)


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document ready to be embedded and stored."""

    media_type: str
    title: str
    text: str
    language: str
    chunks: tuple[PreparedChunk, ...]


def _first_line(document: ParsedDocument) -> str:
    line = " ".join(document.text.split("\n", 1)[0].split())
    return line if len(line) <= _FIRST_LINE_CHARS else line[: _FIRST_LINE_CHARS - 1] + "…"


def context_of(title: str, heading_path: tuple[str, ...]) -> str:
    """Title and headings as one line, "title > heading > heading", without repeats."""
    parts = [title]
    parts.extend(part for part in heading_path if part.casefold() != title.casefold())
    return " > ".join(part for part in parts if part)


def embedded_text(title: str, heading_path: tuple[str, ...], text: str) -> str:
    """What is embedded for a chunk: its context, then its text."""
    context = context_of(title, heading_path)
    return f"{context}\n{text}" if context else text


def prepare(
    content: bytes,
    options: PrepareOptions,
    tokens: TokenCounter,
    progress: Callable[[int], None] = lambda _: None,
) -> PreparedDocument:
    """Parses, cuts and indexes; DocumentError when the content can't be used."""
    document = parse(content, options.limits, progress)
    title = options.title or document.title or options.fallback_title or _first_line(document)
    chunks = chunk(document, tokens.map(document.text), options.sizes)
    if len(chunks) > options.max_chunks:
        raise DocumentError(
            "TOO_MUCH_TEXT",
            f"The text makes {len(chunks):,} passages; at most {options.max_chunks:,} fit into "
            "one document. Split it into several files.",
        )
    language = detect(f"{title}\n{document.text}")
    prepared: list[PreparedChunk] = []
    for piece in chunks:
        body = document.text[piece.start : piece.end]
        weights = weighted_terms(
            body, context_of(title, piece.heading_path), CONTEXT_WEIGHT, language
        )
        prepared.append(
            PreparedChunk(piece.start, piece.end, piece.heading_path, piece.token_count, weights)
        )
        progress(len(prepared))
    return PreparedDocument(document.media_type, title, document.text, language, tuple(prepared))
