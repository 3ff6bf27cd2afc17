"""What a model's text must pass on its way out: it is grounded, and links only where we do.

Outside of any model: text is held back until a citation has been verified, so that an answer
without any support is never shown; a link that no passage has is taken out.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from llm_gateway.extractive.units import units
from llm_gateway.question import Cited, Passage, Piece, Question, TextDelta

_LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>()\[\]\"'`]+|\b[\w.+-]+@[\w-]+\.[\w.-]+\b", re.IGNORECASE
)
_TRAILING = ".,;:!?*_"
_SHOWN = (
    "The customer has already been shown this beginning of your answer, as a JSON string. Write"
    " only what comes after it: repeat and contradict nothing of it.\n"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A citable piece of a passage: `text` is what the model gets, [start, end) what it stands for.

    The texts of all blocks of a passage together are the whole passage.
    """

    text: str
    start: int
    end: int


# The same passages come up in one question after another.
@lru_cache(maxsize=512)
def citable_blocks(text: str) -> tuple[Block, ...]:
    """A passage's text cut after each sentence, list or table row."""
    blocks: list[Block] = []
    at = 0
    for unit in units(text):
        if unit.end > at:
            blocks.append(Block(text[at : unit.end], max(unit.start, at), unit.end))
            at = unit.end
    rest = text[at:]
    if rest.strip() or not blocks:
        blocks.append(Block(rest, at, len(text)))
    return tuple(blocks)


def shown_before(question: Question) -> str:
    """Tells a model to go on after what the visitor was shown, quoted so that nothing ends it."""
    return _SHOWN + json.dumps(question.shown, ensure_ascii=False)


def same_words(one: str, other: str) -> bool:
    """Whether two texts are equal, spaces aside."""
    return one.split() == other.split()


def quoted_span(text: str, quote: str) -> tuple[int, int] | None:
    """Where `quote` stands in `text`, spaces aside; None when it does not."""
    words = quote.split()
    if not words:
        return None
    found = re.search(r"\s+".join(map(re.escape, words)), text)
    return found.span() if found else None


class Grounding:
    """The pieces of one answer, from the text and citations of a model's blocks.

    A model's answer is a sequence of blocks; the citations of a block are for all of its text.
    Call `text` and `cite` for what comes, `end_block` after each block, `finish` at the end.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._known = "\n".join(
            f"{passage.title}\n{passage.text}" for passage in passages
        ).casefold()
        self._held: list[Piece] = []
        self._released = False
        self._word = ""
        self._length = 0
        self._cited_length = 0
        self._block_start = 0
        self._spans: list[tuple[Passage, int, int]] = []

    @property
    def released(self) -> bool:
        """Whether anything has been said: a citation was verified."""
        return self._released

    @property
    def support(self) -> float:
        """The share of the answer's text whose block has a verified citation, 0–1."""
        return self._cited_length / self._length if self._released and self._length else 0.0

    def text(self, delta: str) -> list[Piece]:
        """Takes more text of the block; returns what may go out now."""
        self._word += delta
        # A word is judged whole: a link may come in several pieces.
        last_space = max(self._word.rfind(" "), self._word.rfind("\n"))
        whole, self._word = self._word[: last_space + 1], self._word[last_space + 1 :]
        return self._emit(whole)

    def cite(self, passage: Passage, start: int, end: int) -> None:
        """Notes a verified citation of the block's text."""
        if (passage, start, end) not in self._spans:
            self._spans.append((passage, start, end))

    def end_block(self) -> list[Piece]:
        """Ends a block: its citations follow its text."""
        pieces = self._emit(self._word)
        self._word = ""
        start, self._block_start = self._block_start, self._length
        spans, self._spans = self._spans, []
        if not spans or start == self._length:
            return pieces
        self._cited_length += self._length - start
        self._released = True
        held, self._held = self._held, []
        return [*pieces, *held, *(Cited(*span, start, self._length) for span in spans)]

    def _emit(self, text: str) -> list[Piece]:
        text = _LINK.sub(self._known_link, text)
        if not text:
            return []
        self._length += len(text)
        self._held.append(TextDelta(text))
        # Where a block's citations come before its text, nothing has to wait for its end.
        self._released = self._released or bool(self._spans)
        if not self._released:
            return []
        held, self._held = self._held, []
        return held

    def _known_link(self, match: re.Match[str]) -> str:
        link = match[0].rstrip(_TRAILING)
        return match[0] if link.casefold() in self._known else match[0][len(link) :]
