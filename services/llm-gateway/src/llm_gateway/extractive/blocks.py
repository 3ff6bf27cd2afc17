"""The blocks of a passage: headings, paragraphs, list items, table rows, code, with their spans.

A passage may be Markdown or plain text as a PDF gives it; it is read line by line, and nothing in
it is ever refused.
"""

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"\s*(```+|~~~+)")
_HEADING = re.compile(r"\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"\s{0,3}(=+|-{3,})\s*$")
_RULE = re.compile(r"\s{0,3}([-*_])(\s*\1){2,}\s*$")
_NUMBERED = re.compile(r"\s*(?:>\s?)?(?:step\s+)?(\d{1,3})[.):]\s+\S", re.IGNORECASE)
_BULLET = re.compile(r"\s*(?:>\s?)?[-*+•◦▪–·]\s+\S")
# "Volume: Set how loud it is." after a line that announced options with a colon.
_LABELLED = re.compile(r"\s*[^\W\d_][\w /&'’()-]{0,40}:\s+\S")
_ROW = re.compile(r"\s*\|.*\|\s*$")
_ROW_RULE = re.compile(r"[\s|:+-]+$")
_SENTENCE_END = re.compile(r"[.!?:;…。！？][\"'”’)*_`\]]*$")
_SYNTAX = re.compile(r"[{}\[\]<>=\\\"]|\(\)")
# A shorter line that ends without punctuation is a title, not a wrapped line of prose.
_WRAPPED_CHARACTERS = 50
_TITLE_WORDS = 8
_QUESTION_CHARACTERS = 120
# Tables come from retrieval without Markdown's outer bars.
_PLAIN_BAR = " | "


class BlockKind(enum.Enum):
    """What a block is."""

    HEADING = enum.auto()
    PARAGRAPH = enum.auto()
    NUMBERED = enum.auto()
    BULLET = enum.auto()
    ROW_HEAD = enum.auto()
    ROW = enum.auto()
    CODE = enum.auto()


@dataclass(frozen=True, slots=True)
class Block:
    """A span of the passage; `level` is a heading's depth, else the indentation."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text.rstrip())

    @property
    def indent(self) -> int:
        return len(self.text) - len(self.text.lstrip())


def blocks(text: str) -> list[Block]:
    """The blocks of a passage in order; blank lines, rules and comments belong to none."""
    return list(_Reader(_lines(_without_comments(text))).read())


def _without_comments(text: str) -> str:
    """Blanks HTML comments out, so that positions stay."""
    return re.sub(r"<!--.*?(?:-->|\Z)", lambda m: re.sub(r"\S", " ", m[0]), text, flags=re.DOTALL)


def _lines(text: str) -> list[_Line]:
    lines: list[_Line] = []
    start = 0
    for line in text.split("\n"):
        lines.append(_Line(line, start))
        start += len(line) + 1
    return lines


class _Reader:
    def __init__(self, lines: list[_Line]) -> None:
        self._lines = lines
        self._at = 0
        self._announced = False

    def read(self) -> Iterator[Block]:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not line.text.strip() or _RULE.match(line.text):
                self._at += 1
                continue
            if self._announced and _LABELLED.match(line.text):
                yield self._item(line, BlockKind.BULLET)
                continue
            self._announced = line.text.rstrip("*_ \t\r").endswith(":")
            if _FENCE.match(line.text):
                yield self._code(line)
            elif heading := _HEADING.match(line.text):
                self._at += 1
                yield Block(BlockKind.HEADING, line.start, line.end, len(heading[1]))
            elif _ROW.match(line.text) or self._begins_plain_table():
                yield from self._table()
            elif kind := _item_kind(line.text):
                yield self._item(line, kind)
            else:
                yield self._paragraph(line)

    def _code(self, opening: _Line) -> Block:
        fence = opening.text.strip()[:3]
        last = opening
        self._at += 1
        while self._at < len(self._lines):
            last = self._lines[self._at]
            self._at += 1
            if last.text.strip().startswith(fence):
                break
        return Block(BlockKind.CODE, opening.start, last.end, opening.indent)

    def _begins_plain_table(self) -> bool:
        """Whether this line and the next have the same number of cells, as in `a | b`."""
        if self._at + 1 >= len(self._lines):
            return False
        bars = self._lines[self._at].text.count(_PLAIN_BAR)
        return bars > 0 and bars == self._lines[self._at + 1].text.count(_PLAIN_BAR)

    def _table(self) -> Iterator[Block]:
        head = True
        while self._at < len(self._lines) and _is_row(line := self._lines[self._at].text):
            if not _ROW_RULE.match(line):
                kind = BlockKind.ROW_HEAD if head else BlockKind.ROW
                yield Block(kind, self._lines[self._at].start, self._lines[self._at].end)
            head = False
            self._at += 1

    def _item(self, first: _Line, kind: BlockKind) -> Block:
        """An item runs on over indented or wrapped lines, but not over a blank one."""
        last = first
        self._at += 1
        while self._at < len(self._lines) and self._goes_on(self._lines[self._at], last):
            last = self._lines[self._at]
            self._at += 1
        return Block(kind, first.start + first.indent, last.end, first.indent)

    def _has_more(self, following: _Line | None) -> bool:
        """Whether text comes after this line, at once or after a single blank line."""
        if following is None:
            return False
        if following.text.strip():
            return True
        return self._at + 1 < len(self._lines) and bool(self._lines[self._at + 1].text.strip())

    def _goes_on(self, line: _Line, last: _Line) -> bool:
        if not line.text.strip() or _starts_block(line.text):
            return False
        return line.indent >= 2 or not _SENTENCE_END.search(last.text.rstrip())

    def _paragraph(self, first: _Line) -> Block:
        self._at += 1
        following = self._lines[self._at] if self._at < len(self._lines) else None
        underline = _UNDERLINE.match(following.text) if following else None
        if underline and len(first.text.split()) <= 12:
            self._at += 1
            level = 1 if underline[1][0] == "=" else 2
            return Block(BlockKind.HEADING, first.start, first.end, level)
        is_title = _is_title(first.text) or _is_question(first.text)
        if is_title and self._has_more(following):
            return Block(BlockKind.HEADING, first.start, first.end, 6)
        last = first
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if (
                not line.text.strip()
                or _starts_block(line.text)
                or not _wraps(last.text, line.text)
            ):
                break
            if last.text.rstrip().endswith(":") and _LABELLED.match(line.text):
                break
            last = line
            self._at += 1
        self._announced = last.text.rstrip("*_ \t\r").endswith(":")
        return Block(BlockKind.PARAGRAPH, first.start + first.indent, last.end, first.indent)


def _is_row(line: str) -> bool:
    return bool(_ROW.match(line)) or _PLAIN_BAR in line


def _item_kind(line: str) -> BlockKind | None:
    if _NUMBERED.match(line):
        return BlockKind.NUMBERED
    return BlockKind.BULLET if _BULLET.match(line) else None


def _starts_block(line: str) -> bool:
    starts = (_FENCE, _HEADING, _RULE, _ROW, _NUMBERED, _BULLET)
    return any(start.match(line) for start in starts)


def _is_title(line: str) -> bool:
    stripped = line.strip().strip("*_")
    return (
        stripped[:1].isalnum()
        and not _SYNTAX.search(stripped)
        and len(stripped.split()) <= _TITLE_WORDS
        and len(stripped) < _WRAPPED_CHARACTERS
        and not _SENTENCE_END.search(stripped)
        and not stripped[:1].islower()
    )


def _is_question(line: str) -> bool:
    """Whether the line is one question and nothing else: the title of what comes below."""
    stripped = line.strip().strip("*_")
    return (
        stripped.endswith("?")
        and len(stripped) <= _QUESTION_CHARACTERS
        and not _SENTENCE_END.search(stripped[:-1])
        and not re.search(r"[.!?] ", stripped)
    )


def _wraps(before: str, after: str) -> bool:
    """Whether `after` goes on with the paragraph of `before`."""
    if _SENTENCE_END.search(before.rstrip()) or after.lstrip()[:1].islower():
        return True
    return len(before.strip()) >= _WRAPPED_CHARACTERS or before.lstrip().startswith(">")
