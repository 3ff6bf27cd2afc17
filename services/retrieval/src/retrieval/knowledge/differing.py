"""Whether two passages say the same, or two of their sentences the opposite, told by rules.

No model writes or judges here: sentences that share most of their telling words are compared in
what they say about them: numbers, units, versions, a negation, yes or no.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from retrieval.index.languages import ENGLISH, stem

# Of the telling words of both sentences so many are the same.
_ALIKE = 0.6
_ALIKE_NEGATED = 0.7
_FEWEST_WORDS = 2
# Of all runs of three words so many are the same.
_SAME_TEXT = 0.75
_FEWEST_RUNS = 10
_MOST_SENTENCES = 60

_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\S)[^.!?\n]*)*[.!?]*")
_TOKEN = re.compile(r"[^\W_]+(?:[.,'’\-][^\W_]+)*|[%$€£°]")
_NUMBER = re.compile(r"(\d+(?:[.,]\d+)*)([^\W\d_]*)")
_NEGATION_WORDS = """
    not no never cannot without neither nor nicht kein keine keinen keinem keiner nie ohne pas
    jamais aucun aucune sans sin nunca ningún ninguna non mai senza não sem
"""
_UNIT_WORDS = """
    mm cm m km in inch inches ft feet g mg kg lb lbs l ml ms s sec second seconds min minute
    minutes h hour hours day days week weeks month months year years v mv volt volts w watt watts
    a ma amp amps mah hz khz mhz ghz b kb mb gb tb bit bits byte bytes c f % percent $ € £ usd eur
    dollar dollars euro euros cent cents sekunden minuten stunden tag tage tagen woche wochen monat
    monate monaten jahr jahre jahren jours semaines mois ans heures minutos horas días semanas
    meses años
"""
_NUMBER_WORDS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty
"""
_NEGATIONS = frozenset(_NEGATION_WORDS.split())
_UNITS = frozenset(_UNIT_WORDS.split())
_YES, _NO = frozenset({"yes", "ja", "oui", "sí", "si"}), frozenset({"no", "nein", "non"})
_SPELLED = {word: str(number) for number, word in enumerate(_NUMBER_WORDS.split())} | {
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "ninety": "90", "hundred": "100"
}  # fmt: skip


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
            if not (token in _NEGATIONS or token in _UNITS or token in _SPELLED)
            and not _NUMBER.fullmatch(token)
            and not token.endswith(("n't", "n’t"))
        )
        return frozenset(found for found in stems if found)

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Numbers in order, spelled ones too, without their units."""
        plain = (_SPELLED.get(token, token) for token in self.tokens)
        matches = (_NUMBER.fullmatch(token) for token in plain)
        found = (m.group(1) for m in matches if m and (not m.group(2) or m.group(2) in _UNITS))
        return tuple(sorted(number.replace(",", ".") for number in found))

    @cached_property
    def units(self) -> frozenset[str]:
        """Units that stand behind a number, or at it."""
        attached = (m.group(2) for t in self.tokens if (m := _NUMBER.fullmatch(t)) and m.group(2))
        behind = (
            after
            for before, after in zip(self.tokens, self.tokens[1:], strict=False)
            if before in _SPELLED or _NUMBER.fullmatch(before)
        )
        return frozenset(unit.removesuffix("s") for unit in (*attached, *behind) if unit in _UNITS)

    @cached_property
    def names(self) -> frozenset[str]:
        """Identifiers: sentences with different ones are about different things."""
        return frozenset(
            token
            for token in self.tokens
            if any(c.isdigit() for c in token)
            and any(c.isalpha() for c in token)
            and not ((m := _NUMBER.fullmatch(token)) and m.group(2) in _UNITS)
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
    if shared < _ALIKE or one.names != other.names:
        return ""
    if {one.answer, other.answer} == {"yes", "no"}:
        return "YES_NO"
    negated = one.is_negated != other.is_negated and not one.answer + other.answer
    if negated and shared >= _ALIKE_NEGATED:
        return "NEGATION"
    if one.versions and other.versions and one.versions != other.versions:
        return "VERSIONS"
    if one.numbers and len(one.numbers) == len(other.numbers):
        if one.units and other.units and one.units != other.units:
            return "UNITS"
        if one.numbers != other.numbers:
            return "NUMBERS"
    return ""


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
