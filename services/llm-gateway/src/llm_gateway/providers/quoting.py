"""Citations of models that have none of their own: quotes in the text, checked word by word.

The model writes `[[2|words of document 2]]` after what it says. The marks are taken out of the
stream; a quote that does not stand in its document is no citation.
"""

import re
from collections.abc import Sequence

from llm_gateway.providers.grounding import Grounding, quoted_span
from llm_gateway.question import Passage, Piece

QUOTE_RULES = """\
After every statement, cite the document that it comes from as [[number|quote]]: the number of the \
document and 3 to 25 words copied from it exactly, for example [[2|ships within three days]]. \
Several citations may follow each other. A statement without a citation is not shown."""

_OPEN, _CLOSE = "[[", "]]"
_MARK = re.compile(r"\[\[\s*(?P<number>\d{1,3})\s*\|(?P<quote>.*)\]\]", re.DOTALL)
_BEGINNING = re.compile(r"\[\[\s*\d{0,3}\s*(?:\|.*)?", re.DOTALL)
_CLOSING = re.compile(r"[.,;:!?)\]»”’]*")
_LONGEST_MARK = 800
# Shorter ones are in nearly every text, and show nothing.
_SHORTEST_QUOTE = 8
_QUOTATION = "\"'“”„«»…. \n"


class Quoted:
    """Takes a model's text as it comes, gives what may be shown of it."""

    def __init__(self, passages: Sequence[Passage], grounding: Grounding) -> None:
        self._passages = passages
        self._grounding = grounding
        self._waiting = ""
        self._cited = False

    def take(self, delta: str) -> list[Piece]:
        """More text: the pieces that it makes certain."""
        self._waiting += delta
        pieces: list[Piece] = []
        while (found := self._next()) is not None:
            text, mark = found
            pieces += self._text(text)
            self._cite(mark)
        return pieces

    def end(self) -> list[Piece]:
        """The rest; a mark that never closed is dropped."""
        rest, self._waiting = self._waiting, ""
        shown = "" if rest.lstrip().startswith(_OPEN) else rest.rstrip()
        return [*self._text(shown), *self._grounding.end_block()]

    def _next(self) -> tuple[str, str] | None:
        """Text that is no mark, or a mark; None when more has to come before either is certain."""
        at = self._waiting.find(_OPEN)
        # Spaces may yet be followed by a mark, and so may its first character.
        before = self._waiting.removesuffix("[") if at < 0 else self._waiting[:at]
        if text := before.rstrip(" "):
            return self._taken(len(text)), ""
        if at < 0:
            return None
        close = self._waiting.find(_CLOSE, at)
        begun = self._waiting[at:] if close < 0 else self._waiting[at : close + len(_CLOSE)]
        if not _BEGINNING.fullmatch(begun) or len(begun) > _LONGEST_MARK:
            return self._taken(at + len(_OPEN)), ""
        if close < 0:
            return None
        self._taken(at + len(begun))
        return "", begun

    def _taken(self, length: int) -> str:
        taken, self._waiting = self._waiting[:length], self._waiting[length:]
        return taken

    def _text(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        if self._cited:
            # What closes the sentence before belongs to it.
            closing = _CLOSING.match(text)
            length = closing.end() if closing else 0
            pieces += self._grounding.text(text[:length])
            text = text[length:]
            if text.strip():
                pieces += self._grounding.end_block()
                self._cited = False
        return pieces + self._grounding.text(text)

    def _cite(self, mark: str) -> None:
        found = _MARK.fullmatch(mark)
        if found is None:
            return
        self._cited = True
        number, quote = int(found["number"]), found["quote"].strip(_QUOTATION)
        if not 1 <= number <= len(self._passages) or len(quote) < _SHORTEST_QUOTE:
            return
        passage = self._passages[number - 1]
        span = quoted_span(passage.text, quote)
        if span is not None:
            self._grounding.cite(passage, *span)
