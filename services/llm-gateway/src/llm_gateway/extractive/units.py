"""The units an answer is built from: sentences, step lists, items, rows, code, with exact spans."""

import enum
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from llm_gateway.extractive import sentences
from llm_gateway.extractive.blocks import Block, BlockKind, blocks
from llm_gateway.extractive.markup import plain, points_elsewhere

# Between the headings above a unit, outermost first.
HEADING_SEPARATOR = " > "
_MARKER = re.compile(r"\s*(?:>\s?)?(?:[-*+•◦▪–·]|(?:step\s+)?\d{1,3}[.):])\s+", re.IGNORECASE)
_NUMBER = re.compile(r"\s*(?:>\s?)?(?:step\s+)?(\d{1,3})[.):]", re.IGNORECASE)
_CELL = re.compile(r"(?<!\\)\|")
# Longer lists are taken apart: an answer should not be a page.
_LONGEST_STEPS = 2000
_LONGEST_BULLETS = 700
_LONGEST_CODE = 800
_MOST_UNITS = 200
# Bounds the work on a passage; chunks of knowledge are a third of it.
_LONGEST_PASSAGE = 16_000
_LONGEST_ITEM = 1000
_LONGEST_TITLE = 200
_FEWEST_WORDS = 3
# Three words of one letter: what is shorter would not be kept.
_FEWEST_CHARS = 5
_TITLE_WORDS = 6


class UnitKind(enum.Enum):
    """What a unit is."""

    SENTENCE = enum.auto()
    STEPS = enum.auto()
    LIST = enum.auto()
    ITEM = enum.auto()
    ROW = enum.auto()
    CODE = enum.auto()


@dataclass(frozen=True, slots=True)
class Unit:
    """Text that stands for itself in an answer.

    `start` and `end` are its span in the passage, in code points; `text` is what a reader sees of
    it, with line breaks only between the lines of lists and code. `heading` holds the headings
    above it within the passage. Units of one paragraph share `block`. `is_pointer` says that it
    sends the reader elsewhere rather than telling something.
    """

    kind: UnitKind
    start: int
    end: int
    text: str
    heading: str
    block: int
    is_pointer: bool


def units(passage: str) -> list[Unit]:
    """The units of a passage in order: at most 200, of its first 16,000 characters."""
    return list(_units(passage[:_LONGEST_PASSAGE]))


# The same passages come up in one question after another; cutting one takes about a millisecond,
# which was a third of what an answer by Claude cost us. Some 10 kB each.
@lru_cache(maxsize=512)
def _units(passage: str) -> tuple[Unit, ...]:
    return tuple(islice(_Units(passage).build(), _MOST_UNITS))


class _Units:
    def __init__(self, passage: str) -> None:
        self._passage = passage
        self._blocks = blocks(passage)
        self._headings: list[tuple[int, str]] = []
        self._row_head: list[str] = []
        self._at = 0

    def build(self) -> Iterator[Unit]:
        while self._at < len(self._blocks):
            block = self._blocks[self._at]
            match block.kind:
                case BlockKind.HEADING:
                    self._enter(block)
                case BlockKind.ROW_HEAD:
                    self._row_head = self._cells(block)
                case BlockKind.ROW:
                    yield from self._kept(self._row(block))
                case BlockKind.NUMBERED | BlockKind.BULLET:
                    yield from self._list(None)
                    continue
                case BlockKind.CODE:
                    yield from self._kept(self._code(None, block))
                case BlockKind.PARAGRAPH:
                    yield from self._paragraph(block)
                    continue
            self._at += 1

    def _kept(self, unit: Unit | None) -> Iterator[Unit]:
        if unit is None:
            return
        words = len(unit.text.split())
        if unit.kind is UnitKind.SENTENCE and words < _TITLE_WORDS and unit.text[-1:].isalnum():
            return  # A title, or what is left of a table.
        # Scripts without spaces between words are measured by characters.
        if words >= _FEWEST_WORDS or (not unit.text.isascii() and len(unit.text) >= 6):
            yield unit

    def _enter(self, block: Block) -> None:
        title = plain(self._passage[block.start : block.end].lstrip("# ")[:_LONGEST_TITLE])
        self._headings = [(level, text) for level, text in self._headings if level < block.level]
        self._headings.append((block.level, title))

    def _unit(self, kind: UnitKind, start: int, end: int, text: str) -> Unit:
        heading = HEADING_SEPARATOR.join(title for _, title in self._headings if title)
        pointer = points_elsewhere(self._passage[start:end])
        return Unit(kind, start, end, text, heading, self._at, pointer)

    def _paragraph(self, block: Block) -> Iterator[Unit]:
        """Its sentences; the last one takes along the list or code that its colon announces."""
        text = self._passage[block.start : block.end]
        bounds = [(block.start + a, block.start + b) for a, b in sentences.split(text)]
        lead: tuple[int, int] | None = None
        following = self._blocks[self._at + 1] if self._at + 1 < len(self._blocks) else None
        if bounds and following and text.rstrip("*_ ").endswith(":"):
            lead = bounds.pop()
        for start, end in bounds:
            if end - start < _FEWEST_CHARS:
                continue
            sentence = self._unit(UnitKind.SENTENCE, start, end, plain(self._passage[start:end]))
            yield from self._kept(sentence)
        self._at += 1
        if lead and following:
            yield from self._announced(lead, following)

    def _announced(self, lead: tuple[int, int], following: Block) -> Iterator[Unit]:
        if following.kind in (BlockKind.NUMBERED, BlockKind.BULLET):
            yield from self._list(lead)
        elif following.kind is BlockKind.CODE:
            yield from self._kept(self._code(lead, following))
            self._at += 1
        else:
            text = plain(self._passage[lead[0] : lead[1]])
            yield from self._kept(self._unit(UnitKind.SENTENCE, *lead, text))

    def _list(self, lead: tuple[int, int] | None) -> Iterator[Unit]:
        """Steps stay together, a short bulleted list with its lead, too; else item by item."""
        first = self._at
        items = self._take_items()
        numbered = items[0].kind is BlockKind.NUMBERED
        start = lead[0] if lead else items[0].start
        length = items[-1].end - start
        if numbered and len(items) > 1 and length <= _LONGEST_STEPS:
            yield self._joined(UnitKind.STEPS, lead, items)
        elif lead and length <= _LONGEST_BULLETS:
            yield self._joined(UnitKind.LIST, lead, items)
        else:
            if lead:
                text = plain(self._passage[lead[0] : lead[1]])
                yield from self._kept(self._unit(UnitKind.SENTENCE, *lead, text))
            for offset, item in enumerate(items):
                after = self._at
                self._at = first + offset
                yield from self._kept(self._item(item))
                self._at = after

    def _take_items(self) -> list[Block]:
        """The items from here on, with all that is nested in numbered ones."""
        items = [self._blocks[self._at]]
        self._at += 1
        while self._at < len(self._blocks) and self._belongs(items, self._blocks[self._at]):
            items.append(self._blocks[self._at])
            self._at += 1
        return items

    def _belongs(self, items: list[Block], block: Block) -> bool:
        first = items[0]
        match block.kind:
            case BlockKind.NUMBERED:
                return self._counts_on(items, block)
            case BlockKind.BULLET:
                return first.kind is BlockKind.BULLET or block.level > first.level
            case BlockKind.CODE | BlockKind.PARAGRAPH:
                announced = self._passage[items[-1].end - 1] == ":"
                nested = block.level > first.level or (block.kind is BlockKind.CODE and announced)
                return first.kind is BlockKind.NUMBERED and nested
            case _:
                return False

    def _counts_on(self, items: list[Block], block: Block) -> bool:
        """Whether a numbered item belongs to the list: a new "1." begins another."""
        if items[0].kind is not BlockKind.NUMBERED:
            return False
        return (
            block.level > items[0].level
            or self._number(block) != 1
            or (
                self._number(items[-1]) == 1  # Markdown may number every item 1.
            )
        )

    def _number(self, block: Block) -> int:
        match = _NUMBER.match(self._passage, block.start)
        return int(match[1]) if match else 0

    def _item(self, block: Block) -> Unit | None:
        if block.end - block.start > _LONGEST_ITEM:
            return None
        text = plain(_MARKER.sub("", self._passage[block.start : block.end], count=1))
        return self._unit(UnitKind.ITEM, block.start, block.end, text)

    def _joined(self, kind: UnitKind, lead: tuple[int, int] | None, items: list[Block]) -> Unit:
        lines = [plain(self._passage[lead[0] : lead[1]])] if lead else []
        number = 0
        for item in items:
            raw = self._passage[item.start : item.end]
            text = plain(_MARKER.sub("", raw, count=1))
            if item.kind is BlockKind.NUMBERED and item.level <= items[0].level:
                number += 1
                lines.append(f"{number}. {text}")
            elif item.kind is BlockKind.CODE:
                lines.append(_code_lines(raw))
            elif item.kind is BlockKind.PARAGRAPH:
                lines.append(text)
            else:
                lines.append(f"- {text}")
        start = lead[0] if lead else items[0].start
        return self._unit(kind, start, items[-1].end, "\n".join(line for line in lines if line))

    def _code(self, lead: tuple[int, int] | None, block: Block) -> Unit | None:
        body = _code_lines(self._passage[block.start : block.end])
        if lead is None:
            return self._unit(UnitKind.CODE, block.start, block.end, body) if body else None
        text = plain(self._passage[lead[0] : lead[1]])
        if not body:
            return self._unit(UnitKind.SENTENCE, *lead, text)
        return self._unit(UnitKind.CODE, lead[0], block.end, f"{text}\n{body}")

    def _row(self, block: Block) -> Unit | None:
        if block.end - block.start > _LONGEST_ITEM:
            return None
        cells = self._cells(block)
        subject, rest = cells[0], cells[1:]
        if len(self._row_head) == len(cells) and len(rest) > 1:
            pairs = zip(self._row_head[1:], rest, strict=True)
            parts = [f"{head} {cell}".strip() for head, cell in pairs if cell]
        else:
            parts = [cell for cell in rest if cell]
        text = ": ".join(part for part in (subject, "; ".join(parts)) if part)
        return self._unit(UnitKind.ROW, block.start, block.end, text)

    def _cells(self, block: Block) -> list[str]:
        row = self._passage[block.start : block.end].strip().strip("|")
        return [plain(cell) for cell in _CELL.split(row)]


def _code_lines(block: str) -> str:
    """The code inside its fences; "" when it is too long to show."""
    lines = [line for line in block.split("\n") if not line.strip().startswith(("```", "~~~"))]
    body = textwrap.dedent("\n".join(lines)).strip("\n")
    return body if len(body) <= _LONGEST_CODE else ""
