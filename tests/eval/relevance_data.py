"""Questions with and without an answer, from which relevance is fitted and judged.

Kinds that are answered: `answered` (against the whole set) and `small_answered` (against a
handful of its documents). Kinds that are not: `unanswerable` (labelled so, about the same
passages), `removed` (the answering documents are taken out), `off_topic` (other businesses'
questions), `other_set` (the other sets' questions), and `small_off_topic`, `small_removed`
against a handful of documents, where word statistics say little.

Each question also comes as its longest two or three words, as people type into a chat; what was
labelled unanswerable is left out then, since the words no longer say what was asked, and so is
what none of the first passages answers: the words left may mean something else.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from retrieval.index import ranking, relevance
from retrieval.index.ranking import QueryFacts, Ranked
from retrieval.index.terms import terms
from retrieval.index.weights import FusionWeights

from .memory_index import MemoryIndex, Query
from .sets import EvalSet, SetQuery
from .vectors import VectorCache

T = TypeVar("T")
ANSWERED = ("answered", "small_answered")
NOT_ANSWERED = (
    "unanswerable", "removed", "off_topic", "other_set", "small_off_topic", "small_removed",
)  # fmt: skip
SHORT_FORMS = (2, 3)
_LABELLED_UNANSWERABLE = "unanswerable"
_READ = 5
_WORD = re.compile(r"[\w'-]+")
_SMALL_SIZES = (3, 6, 10, 20)
_SMALL_ROUNDS = 15
_REMOVED_GROUP = 10


@dataclass(frozen=True, slots=True)
class Example:
    """A question against some documents: its signals with vectors and without."""

    set_name: str
    kind: str
    signals: dict[str, float]
    word_signals: dict[str, float]

    @property
    def answered(self) -> bool:
        """The label."""
        return self.kind in ANSWERED


@dataclass(frozen=True, slots=True)
class _Case:
    """A question, and what it is asked of."""

    set_name: str
    kind: str
    index: MemoryIndex
    asked: SetQuery


class ExampleMaker:
    """Draws examples; the same ones each time."""

    def __init__(
        self,
        sets: Sequence[EvalSet],
        indexes: dict[str, MemoryIndex],
        cache: VectorCache,
        off_topic: Sequence[str],
        fusion: FusionWeights,
    ) -> None:
        self._sets = {evaluated.name: evaluated for evaluated in sets}
        self._indexes = indexes
        self._cache = cache
        self._off_topic = list(off_topic)
        self._fusion = fusion

    def examples(self, words: int = 0) -> Iterator[Example]:
        """All examples, set by set; with `words` each question in so many of its words.

        Those that have no more are left out then.
        """
        for name in self._sets:
            for case in (*self._whole(name), *self._removed(name), *self._small(name)):
                example = self._short(case, words) if words else self._example(case, case.asked)
                if example is not None:
                    yield example

    def _whole(self, name: str) -> Iterator[_Case]:
        evaluated, index = self._sets[name], self._indexes[name]
        draw = random.Random(f"whole {name}")
        for query in _some(draw, evaluated.answerable, 300):
            yield _Case(name, "answered", index, query)
        for query in _some(draw, evaluated.unanswerable, 300):
            yield _Case(name, "unanswerable", index, query)
        for text in _some(draw, self._off_topic, 240):
            yield _Case(name, "off_topic", index, SetQuery(text, {}))
        for other in self._sets.values():
            if other.name != name:
                for query in _some(draw, other.answerable, 25):
                    yield _Case(name, "other_set", index, SetQuery(query.text, {}))

    def _removed(self, name: str) -> Iterator[_Case]:
        draw = random.Random(f"removed {name}")
        picked = _some(draw, self._sets[name].answerable, 80)
        for start in range(0, len(picked), _REMOVED_GROUP):
            group = picked[start : start + _REMOVED_GROUP]
            gone = {document for query in group for document in query.grades}
            index = self._indexes[name].part(gone, without=True)
            for query in group:
                yield _Case(name, "removed", index, query)

    def _small(self, name: str) -> Iterator[_Case]:
        draw = random.Random(f"small {name}")
        whole = self._indexes[name]
        for _ in range(_SMALL_ROUNDS):
            picked = _some(draw, self._sets[name].answerable, 8)
            inside, outside = picked[:4], picked[4:]
            documents = set(draw.sample(whole.document_ids, draw.choice(_SMALL_SIZES)))
            documents.update(d for query in inside for d in list(query.grades)[:2])
            index = whole.part(documents)
            for query in inside:
                yield _Case(name, "small_answered", index, SetQuery(query.text, query.grades))
            for query in outside:
                if not documents.intersection(query.grades):
                    yield _Case(name, "small_removed", index, query)
            for text in _some(draw, self._off_topic, 6):
                yield _Case(name, "small_off_topic", index, SetQuery(text, {}))

    def _short(self, case: _Case, words: int) -> Example | None:
        text = longest_words(case.asked.text, words)
        if case.kind == _LABELLED_UNANSWERABLE or not text:
            return None
        asked = replace(case.asked, text=text)
        if case.kind in ANSWERED:
            ranked, _ = self._ranked(case.index, self._query(asked), asked.excluded, vectors=True)
            best = case.index.documents(ranked)[:_READ]
            if not any(asked.grades.get(document, 0) > 0 for document in best):
                return None
        return self._example(case, asked)

    def _example(self, case: _Case, asked: SetQuery) -> Example:
        query = self._query(asked)
        both = [self._signals(case.index, query, asked.excluded, vectors=v) for v in (True, False)]
        return Example(case.set_name, case.kind, both[0], both[1])

    def _query(self, asked: SetQuery) -> Query:
        (vector,) = self._cache.embed([asked.text])
        return Query(asked.text, vector)

    def _signals(
        self, index: MemoryIndex, query: Query, excluded: str, *, vectors: bool
    ) -> dict[str, float]:
        ranked, facts = self._ranked(index, query, excluded, vectors=vectors)
        texts = {no: index.chunks[no].embedded for no in facts.matched}
        return relevance.signals(ranked, facts, texts) if ranked else {}

    def _ranked(
        self, index: MemoryIndex, query: Query, excluded: str, *, vectors: bool
    ) -> tuple[list[Ranked], QueryFacts]:
        candidates, facts = index.candidates(query, excluded, vectors=vectors)
        return ranking.rank(candidates, facts, self._fusion), facts


def longest_words(text: str, count: int) -> str:
    """So many of the words that mean something, the longest, in their order; "" of no more."""
    words = [word for word in _WORD.findall(text) if terms(word)]
    if len(words) <= count:
        return ""
    longest = sorted(range(len(words)), key=lambda place: -len(words[place]))[:count]
    return " ".join(words[place] for place in sorted(longest))


def _some(draw: random.Random, items: Sequence[T], count: int) -> list[T]:
    return draw.sample(list(items), min(count, len(items)))
