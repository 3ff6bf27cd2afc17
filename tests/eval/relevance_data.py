"""Questions with and without an answer, from which relevance is fitted and judged.

Kinds that are answered: `answered` (against the whole set) and `small_answered` (against a
handful of its documents). Kinds that are not: `unanswerable` (labelled so, about the same
passages), `removed` (the answering documents are taken out), `off_topic` (other businesses'
questions), `other_set` (the other sets' questions), and `small_off_topic`, `small_removed`
against a handful of documents, where word statistics say little.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from retrieval.index import ranking, relevance
from retrieval.index.weights import FusionWeights

from .memory_index import MemoryIndex, Query
from .sets import EvalSet, SetQuery
from .vectors import VectorCache

T = TypeVar("T")
ANSWERED = ("answered", "small_answered")
NOT_ANSWERED = (
    "unanswerable", "removed", "off_topic", "other_set", "small_off_topic", "small_removed",
)  # fmt: skip
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

    def examples(self) -> Iterator[Example]:
        """All examples, set by set."""
        for name in self._sets:
            yield from self._whole(name)
            yield from self._removed(name)
            yield from self._small(name)

    def _whole(self, name: str) -> Iterator[Example]:
        evaluated, index = self._sets[name], self._indexes[name]
        draw = random.Random(f"whole {name}")
        for query in _some(draw, evaluated.answerable, 300):
            yield self._example(name, "answered", index, query)
        for query in _some(draw, evaluated.unanswerable, 300):
            yield self._example(name, "unanswerable", index, query)
        for text in _some(draw, self._off_topic, 240):
            yield self._example(name, "off_topic", index, SetQuery(text, {}))
        for other in self._sets.values():
            if other.name != name:
                for query in _some(draw, other.answerable, 25):
                    yield self._example(name, "other_set", index, SetQuery(query.text, {}))

    def _removed(self, name: str) -> Iterator[Example]:
        draw = random.Random(f"removed {name}")
        picked = _some(draw, self._sets[name].answerable, 80)
        for start in range(0, len(picked), _REMOVED_GROUP):
            group = picked[start : start + _REMOVED_GROUP]
            gone = {document for query in group for document in query.grades}
            index = self._indexes[name].part(gone, without=True)
            for query in group:
                yield self._example(name, "removed", index, query)

    def _small(self, name: str) -> Iterator[Example]:
        draw = random.Random(f"small {name}")
        whole = self._indexes[name]
        for _ in range(_SMALL_ROUNDS):
            picked = _some(draw, self._sets[name].answerable, 8)
            inside, outside = picked[:4], picked[4:]
            documents = set(draw.sample(whole.document_ids, draw.choice(_SMALL_SIZES)))
            documents.update(d for query in inside for d in list(query.grades)[:2])
            index = whole.part(documents)
            for query in inside:
                yield self._example(name, "small_answered", index, SetQuery(query.text, {}))
            for query in outside:
                if not documents.intersection(query.grades):
                    yield self._example(name, "small_removed", index, query)
            for text in _some(draw, self._off_topic, 6):
                yield self._example(name, "small_off_topic", index, SetQuery(text, {}))

    def _example(self, name: str, kind: str, index: MemoryIndex, asked: SetQuery) -> Example:
        (vector,) = self._cache.embed([asked.text])
        query = Query(asked.text, vector)
        both = [self._signals(index, query, asked.excluded, vectors=v) for v in (True, False)]
        return Example(name, kind, both[0], both[1])

    def _signals(
        self, index: MemoryIndex, query: Query, excluded: str, *, vectors: bool
    ) -> dict[str, float]:
        candidates, facts = index.candidates(query, excluded, vectors=vectors)
        ranked = ranking.rank(candidates, facts, self._fusion)
        texts = {no: index.chunks[no].embedded for no in facts.matched}
        return relevance.signals(ranked, facts, texts) if ranked else {}


def _some(draw: random.Random, items: Sequence[T], count: int) -> list[T]:
    return draw.sample(list(items), min(count, len(items)))
