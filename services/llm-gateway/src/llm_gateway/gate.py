"""What of an attempt may be shown while another attempt could still take over.

A model's text goes out sentence by sentence, each once its citations were verified and its
numbers found in what the model was given: what is shown has passed its check, so an attempt that
fails later is gone on from and never taken back. Of an attempt that goes on after another's text,
what repeats that text is left out, whatever the model was told.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from llm_gateway.question import Cited, Question, TextDelta

# Longer text without any citation is not carried by the passages.
_MOST_UNCITED_CHARS = 800
# A closing remark ("Anything else?") needs no citation.
_LONGEST_REMARK_CHARS = 200
_SENTENCE_END = re.compile(r"[.!?…:;。！？।]['\")\]»”’*_`]*\s*$|\n\s*$")
_SENTENCE = re.compile(r".+?(?:[.!?…。！？]['\")\]»”’*_`]*(?=\s|$)|\n|$)\s*", re.DOTALL)
_BLOCK_START = re.compile(r"[-*#|>]|\d{1,3}[.)]\s")
_LIST_NUMBER = re.compile(r"^\s*\d{1,3}[.)]\s", re.MULTILINE)
_THOUSANDS = re.compile(r"(?<=\d)[.,' \u00a0\u202f](?=\d{3}(?!\d))")
# Eighteen digits at a time: nothing that is shown is as long, and int() has a limit.
_DIGITS = re.compile(r"[0-9]{1,18}")
_WORD = re.compile(r"\w+")
# A smaller number is written as a word, or numbers a list, too often to be held against a text.
_LEAST_NUMBER = 10
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety hundred"
_NUMBER_WORDS = {word: number for number, word in enumerate(_TEENS.split(), 10)} | {
    word: number * 10 for number, word in enumerate(_TENS.split(), 2)
}
# Fewer words repeat by chance.
_LEAST_REPEATED_WORDS = 3


class NotSupported(Exception):
    """The attempt's text is not carried by what the model was given."""


@dataclass(slots=True)
class Shown:
    """The answer as the visitor has it so far, whoever wrote it."""

    text: str = ""
    cited_chars: int = 0
    spans: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def support(self) -> float:
        """The share of the text that citations stand for, 0–1."""
        return min(self.cited_chars / len(self.text), 1.0) if self.text else 0.0

    def add(self, piece: TextDelta | Cited) -> None:
        """Notes what goes out."""
        if isinstance(piece, TextDelta):
            self.text += piece.text
            return
        self.spans.append((piece.passage.chunk_id, piece.start, piece.end))
        self.cited_chars += piece.answer_end - piece.answer_start

    def rests_on(self, piece: Cited) -> bool:
        """Whether most of what `piece` cites has been cited before."""
        most = max(
            (
                min(end, piece.end) - max(start, piece.start)
                for chunk_id, start, end in self.spans
                if chunk_id == piece.passage.chunk_id
            ),
            default=0,
        )
        return most * 2 > piece.end - piece.start


class Gate:
    """Passes on the pieces of one attempt, in the positions of the whole answer.

    Call `take` for what comes, then `end` and `remark` at a whole answer's end. What was not
    passed on is not shown. `take` and `remark` raise NotSupported.
    """

    def __init__(self, question: Question, shown: Shown) -> None:
        self._before = replace(shown, spans=list(shown.spans))
        self._shown_words = _words(shown.text)
        self._length = len(shown.text)
        self._began = False
        self._given = _given(question)
        self._held = ""
        # Where the held text begins, and where its last citation ends, in the attempt's own text.
        self._at = 0
        self._covered = 0
        self._cited: list[Cited] = []

    def take(self, piece: TextDelta | Cited) -> list[TextDelta | Cited]:
        """What may go out now that `piece` has come."""
        if isinstance(piece, Cited):
            self._cited.append(piece)
            self._covered = max(self._covered, piece.answer_end)
            return []
        whole = self._covered == self._at + len(self._held) and (
            _SENTENCE_END.search(self._held) is not None or piece.text.startswith("\n")
        )
        out = self.end() if whole else []
        self._held += piece.text
        if self._at + len(self._held) - max(self._covered, self._at) > _MOST_UNCITED_CHARS:
            raise NotSupported
        return out

    def end(self) -> list[TextDelta | Cited]:
        """What is cited of the text held: it ends there."""
        if not self._cited:
            return []
        text = self._held[: self._covered - self._at]
        if not _numbers(text) <= self._given:
            raise NotSupported
        at, cited = self._at, self._cited
        self._held = self._held[len(text) :]
        self._at, self._cited = self._covered, []
        if all(self._before.rests_on(each) for each in cited):
            return []
        return self._placed(text, at, cited)

    def remark(self) -> list[TextDelta | Cited]:
        """What comes after the last citation, if it needs none; of a text gone on with, nothing."""
        text = self._held
        if not text.strip():
            return []
        if len(text) > _LONGEST_REMARK_CHARS or not _numbers(text) <= self._given:
            raise NotSupported
        return [] if self._before.text else self._placed(text, self._at, [])

    def _placed(self, text: str, at: int, cited: Sequence[Cited]) -> list[TextDelta | Cited]:
        """The text where the visitor's ends, without what it repeats, and its citations moved."""
        skipped = self._repeated(text)
        text = text[skipped:]
        glue = ""
        if not self._began and self._before.text:
            skipped += len(text) - len(text.lstrip())
            text = text.lstrip()
            glue = _glue(self._before.text, text)
        if not text.strip():
            return []
        self._began = True
        move = self._length + len(glue) - at - skipped
        first = self._length + len(glue)
        out: list[TextDelta | Cited] = [TextDelta(glue + text)]
        self._length += len(glue) + len(text)
        for each in cited:
            start, end = max(each.answer_start + move, first), each.answer_end + move
            if start < end:
                out.append(replace(each, answer_start=start, answer_end=end))
        return out

    def _repeated(self, text: str) -> int:
        """How many characters at the beginning are sentences that were shown before."""
        if not self._before.text:
            return 0
        skipped = 0
        for sentence in _SENTENCE.finditer(text):
            words = _words(sentence[0])
            if words.strip().count(" ") + 1 < _LEAST_REPEATED_WORDS and words.strip():
                break
            if words not in self._shown_words:
                break
            skipped = sentence.end()
        return skipped


def _glue(before: str, text: str) -> str:
    if before[-1].isspace():
        return ""
    return "\n\n" if _BLOCK_START.match(text) else " "


def _words(text: str) -> str:
    """The words between single spaces, also around them; a space for none."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def _numbers(text: str) -> set[int]:
    """The numbers from 10 that a text writes in digits, however their thousands are set apart."""
    text = _THOUSANDS.sub("", _LIST_NUMBER.sub("", text))
    found = {int(digits) for digits in _DIGITS.findall(text)}
    return {number for number in found if number >= _LEAST_NUMBER}


def _given(question: Question) -> set[int]:
    """The numbers that the model was given, whether as digits or as English words."""
    texts = [question.text, question.instructions, question.screen_text, question.shown]
    texts += [turn.text for turn in question.history]
    for passage in question.passages:
        texts += [passage.title, *passage.heading_path, passage.text]
    found: set[int] = set()
    for text in texts:
        # Both readings of "10.500": the sources' own way of writing is not known.
        found |= {int(digits) for digits in _DIGITS.findall(text)} | _numbers(text)
        found |= {_NUMBER_WORDS.get(word, 0) for word in _WORD.findall(text.casefold())}
    return found
