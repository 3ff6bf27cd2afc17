"""Chunks: consecutive pieces of a document, small enough to embed, that keep its structure.

Blocks of a section are packed up to the target size. A list, table or piece of code stays whole
up to the maximum. A section that is too small is joined with the next ones; one that must be
cut repeats its last sentences at the start of the next chunk.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fleetkit.tokens import TokenMap

from retrieval.parsing.document import Block, BlockKind, ParsedDocument
from retrieval.parsing.splitting import Span, sentences, split

_WHOLE = (BlockKind.LIST, BlockKind.TABLE, BlockKind.CODE)


@dataclass(frozen=True, slots=True)
class ChunkSizes:
    """Tokens of the embedding model. Why these: tests/eval/README.md.

    Prose is cut at `target_tokens`; lists, tables and code stay whole up to `whole_tokens`.
    `max_chars` is the limit where tokens lie: the tokenizer makes one token of any word over 100
    characters.
    """

    target_tokens: int = 128
    whole_tokens: int = 400
    min_tokens: int = 60
    overlap_tokens: int = 30
    max_chars: int = 6_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """`text[start:end]` of the document, in code points, under `heading_path`."""

    start: int
    end: int
    heading_path: tuple[str, ...]
    token_count: int


@dataclass(frozen=True, slots=True)
class _Unit:
    """A block, or a piece of one; `section` is where its section's heading starts."""

    start: int
    end: int
    path: tuple[str, ...]
    section: int
    prose: bool


def chunk(document: ParsedDocument, tokens: TokenMap, sizes: ChunkSizes) -> list[Chunk]:
    """The chunks in order; together they hold every block that is not a heading with a body."""
    chunker = _Chunker(document, tokens, sizes)
    return [chunker.finish(group) for group in chunker.groups()]


class _Chunker:
    def __init__(self, document: ParsedDocument, tokens: TokenMap, sizes: ChunkSizes) -> None:
        self._document = document
        self._tokens = tokens
        self._sizes = sizes

    def groups(self) -> Iterator[list[_Unit]]:
        """Units that make one chunk each."""
        group: list[_Unit] = []
        for unit in self._units():
            if group and not self._joins(group, unit):
                yield group
                group = self._overlap(group, unit)
            group.append(unit)
        if group:
            yield group

    def finish(self, group: list[_Unit]) -> Chunk:
        """The chunk of a group; of several sections it starts with the first one's heading."""
        path = _common_path([unit.path for unit in group])
        start = group[0].start
        if len(path) < len(group[0].path) and group[0].section < start:
            start = group[0].section
        end = group[-1].end
        return Chunk(start, end, path, self._tokens.count(start, end))

    def _joins(self, group: list[_Unit], unit: _Unit) -> bool:
        first = group[0]
        same = first.section == unit.section and group[-1].section == unit.section
        if not same:
            if self._tokens.count(first.start, group[-1].end) >= self._sizes.min_tokens:
                return False
            # Joining two sections puts the first one's heading into the text.
            return self._fits(min(first.section, first.start), unit.end, self._sizes.target_tokens)
        return self._fits(first.start, unit.end, self._sizes.target_tokens)

    def _fits(self, start: int, end: int, limit: int) -> bool:
        return end - start <= self._sizes.max_chars and self._tokens.count(start, end) <= limit

    def _overlap(self, group: list[_Unit], unit: _Unit) -> list[_Unit]:
        """The last sentences of the group, where it is the same section's prose that is cut."""
        last = group[-1]
        if last.section != unit.section or not last.prose or not unit.prose:
            return []
        limit = self._sizes.target_tokens + self._sizes.overlap_tokens
        taken: _Unit | None = None
        for span in reversed(sentences(self._document.text, Span(last.start, last.end))):
            if span.start <= group[0].start:
                break
            repeated = self._tokens.count(span.start, last.end)
            if repeated > self._sizes.overlap_tokens:
                break
            if not self._fits(span.start, unit.end, limit):
                break
            taken = _Unit(span.start, last.end, last.path, last.section, prose=True)
        return [taken] if taken else []

    def _units(self) -> Iterator[_Unit]:
        section = 0
        blocks = self._document.blocks
        for index, block in enumerate(blocks):
            if block.kind is BlockKind.HEADING:
                section = block.start
                following = blocks[index + 1] if index + 1 < len(blocks) else None
                if following is not None and _is_under(following, block):
                    continue
            yield from self._cut(block, section)

    def _cut(self, block: Block, section: int) -> Iterator[_Unit]:
        whole = block.kind in _WHOLE
        limit = self._sizes.whole_tokens if whole else self._sizes.target_tokens
        span = Span(block.start, block.end)
        if not self._fits(block.start, block.end, limit):
            limit = self._sizes.target_tokens
        fits = lambda start, end: self._fits(start, end, limit)  # noqa: E731
        for piece in split(self._document.text, span, fits, by_line=whole):
            yield _Unit(piece.start, piece.end, block.heading_path, section, prose=not whole)


def _is_under(block: Block, heading: Block) -> bool:
    return block.heading_path[: len(heading.heading_path)] == heading.heading_path


def _common_path(paths: list[tuple[str, ...]]) -> tuple[str, ...]:
    shortest = min(paths, key=len)
    for depth in range(len(shortest), 0, -1):
        if all(path[:depth] == shortest[:depth] for path in paths):
            return shortest[:depth]
    return ()
