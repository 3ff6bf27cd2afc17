"""Cuts a block that is too long, at the best place there is: line, sentence, word, character."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_LINES = re.compile(r"\n+")
_SENTENCES = re.compile(r"(?<=[.!?。！？…])[\"'”’)\]]*\s+|(?<=[。！？])|\n+")
_WORDS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]`, in code points."""

    start: int
    end: int


Fits = Callable[[int, int], bool]


def sentences(text: str, span: Span) -> list[Span]:
    """The sentences in a span, without the white space between them."""
    return list(_pieces(text, span, _SENTENCES))


def split(text: str, span: Span, fits: Fits, *, by_line: bool) -> list[Span]:
    """Consecutive spans that each fit and together hold all of `span` but white space between.

    Lists, tables and code are cut between lines first (`by_line`), prose between sentences.
    """
    patterns = [_LINES, _SENTENCES, _WORDS] if by_line else [_SENTENCES, _WORDS]
    return list(_split(text, span, fits, patterns))


def _split(text: str, span: Span, fits: Fits, patterns: list[re.Pattern[str]]) -> Iterator[Span]:
    if fits(span.start, span.end):
        yield span
        return
    if not patterns:
        yield from _by_characters(span, fits)
        return
    held: Span | None = None
    for piece in _pieces(text, span, patterns[0]):
        for part in _split(text, piece, fits, patterns[1:]):
            if held is not None and fits(held.start, part.end):
                held = Span(held.start, part.end)
                continue
            if held is not None:
                yield held
            held = part
    if held is not None:
        yield held


def _pieces(text: str, span: Span, pattern: re.Pattern[str]) -> Iterator[Span]:
    start = span.start
    for match in pattern.finditer(text, span.start, span.end):
        if text[start : match.start()].strip():
            yield _trimmed(text, start, match.start())
        start = match.end()
    if text[start : span.end].strip():
        yield _trimmed(text, start, span.end)


def _trimmed(text: str, start: int, end: int) -> Span:
    while end > start and text[end - 1].isspace():
        end -= 1
    while start < end and text[start].isspace() and text[start] != " ":
        start += 1
    return Span(start, end)


def _by_characters(span: Span, fits: Fits) -> Iterator[Span]:
    start = span.start
    while start < span.end:
        end = span.end
        while end - start > 1 and not fits(start, end):
            end = start + (end - start) // 2
        yield Span(start, end)
        start = end
