"""Whether two passages say the same, or two of their sentences the opposite, told by rules.

No model writes or judges here: sentences that share most of their telling words are compared in
what they say about them: quantities, versions, dates, a negation, an opposite, yes or no.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from retrieval.index.languages import ENGLISH, stem
from retrieval.knowledge.quantities import NUMBER, SPELLED, UNITS, Quantity, differ, quantities

# Of the telling words of both sentences so many are the same.
_ALIKE = 0.6
_ALIKE_NEGATED = 0.7
_ALIKE_SWAPPED = 0.75
_FEWEST_WORDS = 2
# Of all runs of three words so many are the same.
_SAME_TEXT = 0.75
_FEWEST_RUNS = 10
_MOST_SENTENCES = 60

_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\S)[^.!?\n]*)*[.!?]*")
_TOKEN = re.compile(r"[^\W_]+(?:[.,'’\-][^\W_]+)*|[%$€£°]")
_NEGATION_WORDS = """
    not no never cannot without neither nor nicht kein keine keinen keinem keiner nie ohne pas
    jamais aucun aucune sans sin nunca ningún ninguna non mai senza não sem
"""
# Values that are words. One of a kind is told from another; written out, for months have forms.
_WHEN_WORDS = """
    january february march april june july august september october november december
    januar februar märz mai juni juli oktober dezember monday tuesday wednesday thursday friday
    saturday sunday montag dienstag mittwoch donnerstag freitag samstag sonntag
"""
_OPPOSITE_WORDS = """
    enabled/disabled enable/disable activated/deactivated open/closed opens/closes least/most
    minimum/maximum before/after always/never allowed/forbidden possible/impossible
    clockwise/counterclockwise clockwise/anticlockwise included/excluded includes/excludes
    required/optional mandatory/optional automatic/manual automatically/manually online/offline
    public/private first/last left/right upper/lower increases/decreases free/charged free/paid
    aktiviert/deaktiviert kostenlos/kostenpflichtig möglich/unmöglich erlaubt/verboten
    vor/nach immer/nie links/rechts mindestens/höchstens geöffnet/geschlossen
"""
_NEGATIONS = frozenset(_NEGATION_WORDS.split())
_WHEN = frozenset(_WHEN_WORDS.split())
_OPPOSITES = tuple(tuple(pair.split("/")) for pair in _OPPOSITE_WORDS.split())
_OPPOSED = frozenset(word for pair in _OPPOSITES for word in pair)
_YES, _NO = frozenset({"yes", "ja", "oui", "sí", "si"}), frozenset({"no", "nein", "non"})


@dataclass(frozen=True, slots=True)
class Difference:
    """Two spans, each within its passage; `reason` says in what they differ."""

    kind: str
    reason: str
    score: float
    span: tuple[int, int]
    other_span: tuple[int, int]


@dataclass(frozen=True)
class Sentence:
    """A sentence, `start` to `end` of its passage, as its words are compared."""

    start: int
    end: int
    tokens: tuple[str, ...]
    language: str

    @cached_property
    def words(self) -> frozenset[str]:
        """Stems of what it is about."""
        stems = (
            stem(token, self.language)
            for token in self.tokens
            if not (token in _NEGATIONS or token in UNITS or token in SPELLED)
            and not (token.removesuffix("s") in _WHEN or token in _OPPOSED)
            and not NUMBER.fullmatch(token)
            and not token.endswith(("n't", "n’t"))
        )
        return frozenset(found for found in stems if found)

    @cached_property
    def quantities(self) -> tuple[Quantity, ...]:
        """Numbers, spelled ones too, with their units."""
        return quantities(self.tokens)

    @cached_property
    def when(self) -> frozenset[str]:
        """Months and days of the week."""
        return _WHEN & frozenset(token.removesuffix("s") for token in self.tokens)

    @cached_property
    def names(self) -> frozenset[str]:
        """Identifiers: sentences with different ones are about different things."""
        return frozenset(
            token
            for token in self.tokens
            if any(c.isdigit() for c in token)
            and any(c.isalpha() for c in token)
            and not ((m := NUMBER.fullmatch(token)) and m.group(2) in UNITS)
            and not re.fullmatch(r"v\d[\d.]*", token)
        )

    @cached_property
    def versions(self) -> frozenset[str]:
        """Versions: `v2`, `1.8.19`, and what stands behind the word."""
        named = (
            after
            for before, after in zip(self.tokens, self.tokens[1:], strict=False)
            if before in ("version", "versión", "release") and after[0].isdigit()
        )
        plain = (t for t in self.tokens if re.fullmatch(r"v\d[\d.]*|\d+(?:\.\d+){2,}", t))
        return frozenset(version.removeprefix("v") for version in (*named, *plain))

    @cached_property
    def is_negated(self) -> bool:
        """An odd number of negations."""
        count = sum(t in _NEGATIONS or t.endswith(("n't", "n’t")) for t in self.tokens[1:])
        first = self.tokens[0] if self.tokens else ""
        return (count + (first in _NEGATIONS and first not in _NO)) % 2 == 1

    @cached_property
    def answer(self) -> str:
        """How it begins: "yes", "no", or neither."""
        first = self.tokens[0] if self.tokens else ""
        return "yes" if first in _YES else "no" if first in _NO else ""


def sentences(text: str, language: str = ENGLISH) -> list[Sentence]:
    """The first sentences of a passage."""
    found: list[Sentence] = []
    for match in _SENTENCE.finditer(text):
        tokens = tuple(token.lower() for token in _TOKEN.findall(match.group()))
        if len(tokens) > _FEWEST_WORDS:
            start = match.start() + len(match.group()) - len(match.group().lstrip())
            found.append(Sentence(start, match.end(), tokens, language))
    return found[:_MOST_SENTENCES]


def differences(
    text: str, other: str, language: str = ENGLISH, other_language: str = ENGLISH
) -> list[Difference]:
    """Contradictions between two passages; where there are none, that they say the same."""
    if language != other_language:
        return []
    theirs = sentences(other, language)
    found: list[Difference] = []
    for mine in sentences(text, language):
        best = max(theirs, key=lambda sentence: alike(mine, sentence), default=None)
        if best is not None and (reason := contradiction(mine, best)):
            score = alike(mine, best)
            span, other_span = (mine.start, mine.end), (best.start, best.end)
            found.append(Difference("contradiction", reason, score, span, other_span))
    if found:
        return found
    shared = same_text(text, other)
    if shared >= _SAME_TEXT:
        whole, others = (0, len(text)), (0, len(other))
        return [Difference("duplicate", "SAME_TEXT", shared, whole, others)]
    return []


def contradiction(one: Sentence, other: Sentence) -> str:
    """In what two sentences about the same thing contradict each other; "" when they don't."""
    shared = alike(one, other)
    # Where each has a word of its own, the two may speak of different things.
    enough = _ALIKE_SWAPPED if one.words - other.words and other.words - one.words else _ALIKE
    if shared < enough or one.names != other.names:
        return ""
    if {one.answer, other.answer} == {"yes", "no"}:
        return "YES_NO"
    counted = len(one.quantities) == len(other.quantities)
    negated = one.is_negated != other.is_negated and not one.answer + other.answer
    if negated and counted and shared >= _ALIKE_NEGATED:
        return "NEGATION"
    if one.versions and other.versions and one.versions != other.versions:
        return "VERSIONS"
    if counted and (reason := differ(one.quantities, other.quantities)):
        return reason
    if one.when and len(one.when) == len(other.when) and one.when != other.when:
        return "DATES"
    return "OPPOSITES" if shared >= _ALIKE_NEGATED and _are_opposed(one, other) else ""


def _are_opposed(one: Sentence, other: Sentence) -> bool:
    """Whether one has a word that the other has the opposite of instead."""
    own, others = frozenset(one.tokens), frozenset(other.tokens)
    own, others = own - others, others - own
    return any((a in own and b in others) or (b in own and a in others) for a, b in _OPPOSITES)


def alike(one: Sentence, other: Sentence) -> float:
    """Share of the telling words of both that both have; 0 for a few."""
    both = one.words & other.words
    if len(both) < _FEWEST_WORDS:
        return 0.0
    return len(both) / len(one.words | other.words)


def same_text(text: str, other: str) -> float:
    """Share of the runs of three words of the shorter passage that the other has too."""
    runs, others = _runs(text), _runs(other)
    fewest = min(len(runs), len(others))
    return len(runs & others) / fewest if fewest >= _FEWEST_RUNS else 0.0


def different_things(title: str, other_title: str) -> bool:
    """Whether titles name different models or versions: their numbers are not to be compared."""
    names, others = _numbered(title), _numbered(other_title)
    return bool(names and others) and names != others


def _numbered(title: str) -> frozenset[str]:
    tokens: Sequence[str] = _TOKEN.findall(title.lower())
    return frozenset(token for token in tokens if any(c.isdigit() for c in token))


def _runs(text: str) -> frozenset[tuple[str, ...]]:
    tokens = [token.lower() for token in _TOKEN.findall(text)]
    return frozenset(zip(tokens, tokens[1:], tokens[2:], strict=False))
