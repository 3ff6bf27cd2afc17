"""A parsed document: normalised text, and blocks that point into it."""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from retrieval.parsing.errors import no_text, too_much_text

MAX_TITLE_CHARS = 200
MAX_HEADING_CHARS = 200
_SEPARATOR = "\n\n"
# C0 and C1 controls but tab and line feed, lone surrogates, zero-width no-break space.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_SPACES = re.compile(r"[^\S\n]+")


class BlockKind(StrEnum):
    """What a block is; a chunk does not break lists, tables and code if it can help it."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document: `text[start:end]` in code points, under `heading_path`.

    A heading's own path ends with itself.
    """

    kind: BlockKind
    start: int
    end: int
    heading_path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """Text in NFC without control characters, its blocks in order, and what it calls itself."""

    media_type: str
    title: str
    text: str
    blocks: tuple[Block, ...]


def clean(text: str) -> str:
    """NFC, line feeds only, no control characters; code keeps its indentation."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x0c", "\n")
    return unicodedata.normalize("NFC", _UNWANTED.sub("", text))


def one_line(text: str) -> str:
    """Cleaned, with every run of white space as one space."""
    return " ".join(clean(text).split())


def squeeze(text: str) -> str:
    """Cleaned, runs of spaces as one, lines trimmed, blank lines dropped."""
    lines = (_SPACES.sub(" ", line).strip() for line in clean(text).split("\n"))
    return "\n".join(line for line in lines if line)


class DocumentBuilder:
    """Collects blocks in reading order and keeps the heading path."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0
        self._headings: list[tuple[int, str]] = []
        self._first_level: int | None = None

    def heading(self, level: int, text: str) -> None:
        """Opens a section; closes those of the same or a deeper level."""
        title = one_line(text)
        if not title:
            return
        while self._headings and self._headings[-1][0] >= level:
            self._headings.pop()
        self._headings.append((level, title[:MAX_HEADING_CHARS]))
        if self._first_level is None:
            self._first_level = level
        self._add(BlockKind.HEADING, title)

    def add(self, kind: BlockKind, text: str) -> None:
        """Adds a block; one without visible characters is left out."""
        text = clean(text).strip("\n").rstrip()
        if kind is not BlockKind.CODE:
            text = text.lstrip()
        if text.strip():
            self._add(kind, text)

    def build(self, media_type: str, title: str) -> ParsedDocument:
        """The document; `title` falls back to its heading of level 1, "" when it has none."""
        if not any(char.isalnum() for part in self._parts for char in part):
            raise no_text()
        return ParsedDocument(
            media_type=media_type,
            title=self._title(one_line(title)),
            text=_SEPARATOR.join(self._parts),
            blocks=tuple(self._blocks),
        )

    def _add(self, kind: BlockKind, text: str) -> None:
        start = self._length + (len(_SEPARATOR) if self._parts else 0)
        self._length = start + len(text)
        if self._length > self._max_chars:
            raise too_much_text(self._length, self._max_chars)
        self._parts.append(text)
        path = tuple(title for _, title in self._headings)
        self._blocks.append(Block(kind, start, self._length, path))

    def _title(self, given: str) -> str:
        first = next((b for b in self._blocks if b.kind is BlockKind.HEADING), None)
        top = first.heading_path[-1] if first and self._first_level == 1 else ""
        return (given or top)[:MAX_TITLE_CHARS].strip()
