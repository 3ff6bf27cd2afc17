"""Ranks the units of passages by how well they answer a question."""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import yaml
from numpy.typing import NDArray

from llm_gateway.extractive.terms import bigrams, terms
from llm_gateway.extractive.units import HEADING_SEPARATOR, Unit
from llm_gateway.question import Passage

Vector = NDArray[np.float32]
# Cosine from which a heading asks the same question.
_SAME_QUESTION = 0.7
# 1, and room for rounding.
_MOST_COSINE = 1.001

# English cues; in other languages they add nothing and take nothing away.
_STEPS_WANTED = re.compile(
    r"\b(how (do|can|to|should|would|could|does)|steps?|what should i do|where do i)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Weights:
    """The fitted numbers of `weights.yaml`."""

    version: str
    ranking: Mapping[str, float]
    support: Mapping[str, float]
    least_support: float


def load_weights() -> Weights:
    """The weights that ship with the service."""
    text = resources.files("llm_gateway.extractive").joinpath("weights.yaml").read_text("utf-8")
    fields = yaml.load(text, yaml.CSafeLoader)
    return Weights(fields["version"], fields["ranking"], fields["support"], fields["least_support"])


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A unit of the passage at `rank` (0 is the best), its words, and the words above it.

    `above`: of the headings above it and of its document's title.
    """

    unit: Unit
    passage: Passage
    rank: int
    words: tuple[str, ...]
    above: frozenset[str]

    @property
    def heading(self) -> str:
        """The nearest heading above the unit, else the document's title."""
        return heading_of(self.unit, self.passage)


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """A candidate with its score (larger is better), support (0–1) and unit vector.

    `under_the_question`: its heading asks what was asked, so that the section is the answer.
    """

    candidate: Candidate
    score: float
    support: float
    vector: Vector
    under_the_question: bool


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Unit vectors of a question, of the candidates in their order, and of headings by text.

    A candidate without a heading has none here.
    """

    question: Vector
    units: Sequence[Vector]
    headings: Mapping[str, Vector]


def heading_of(unit: Unit, passage: Passage) -> str:
    """The nearest heading above a unit, else the document's title."""
    within = unit.heading.rpartition(HEADING_SEPARATOR)[2]
    above = passage.heading_path[-1] if passage.heading_path else ""
    return (within or above or passage.title).strip()


class Query:
    """A question's words, weighted by how rare they are among the candidates."""

    def __init__(self, question: str, candidates: Sequence[Candidate]) -> None:
        words = terms(question)
        self._words = tuple(dict.fromkeys(words))
        self._bigrams = bigrams(words)
        self.wants_steps = bool(_STEPS_WANTED.search(question))
        self._rarity = _rarity(self._words, candidates)

    def prefer(self, candidates: Sequence[Candidate], most: int) -> list[Candidate]:
        """The candidates worth embedding, at most `most`, by words and passage alone."""
        if len(candidates) <= most:
            return list(candidates)
        scored = sorted(
            candidates,
            key=lambda c: self._coverage_in_context(c) + 0.5 / (1 + c.rank),
            reverse=True,
        )
        return scored[:most]

    def features(self, candidate: Candidate) -> dict[str, float]:
        """What the words alone say of a candidate, by the names in `weights.yaml`."""
        unit, words = candidate.unit, set(candidate.words)
        heading = set(terms(candidate.heading))
        shared = len(self._bigrams & bigrams(candidate.words))
        return {
            "coverage": self._coverage(words),
            "coverage_in_context": self._coverage_in_context(candidate),
            "heading_coverage": self._coverage(heading),
            "heading_overlap": self._overlap(heading),
            "bigrams": shared / max(1, len(self._bigrams)),
            "passage_rank": 1 / (1 + candidate.rank),
            "is_pointer": float(unit.is_pointer),
            "is_question": float(unit.text.rstrip().endswith("?")),
        }

    def _coverage_in_context(self, candidate: Candidate) -> float:
        return self._coverage(candidate.above.union(candidate.words))

    def _overlap(self, heading: set[str]) -> float:
        """Of the words of the question and a heading the share, by rarity, that both have.

        What only the heading has counts as much as a word of the question on average.
        """
        total = sum(self._rarity.values())
        if not total:
            return 0.0
        foreign = len(heading - set(self._words)) * total / len(self._words)
        return self._coverage(heading) * total / (total + foreign)

    def _coverage(self, words: Collection[str]) -> float:
        """The share of the question's words, by rarity, that are among `words`."""
        total = sum(self._rarity.values())
        return sum(self._rarity[w] for w in self._words if w in words) / total if total else 0.0


def rank(
    query: Query, candidates: Sequence[Candidate], vectors: Vectors, weights: Weights
) -> list[Ranked]:
    """The candidates, best first; `exp(score)` is proportional to the odds of being the answer."""
    ranked: list[Ranked] = []
    for candidate, vector in zip(candidates, vectors.units, strict=True):
        features = all_features(query, candidate, vector, vectors)
        logit = weights.support["bias"] + sum(
            weight * features[name] for name, weight in weights.support.items() if name != "bias"
        )
        support = 1 / (1 + math.exp(-logit))
        asks_it = features["heading_cosine"] >= max(_SAME_QUESTION, features["cosine"])
        ranked.append(Ranked(candidate, _score(features, weights), support, vector, asks_it))
    return sorted(ranked, key=lambda one: one.score, reverse=True)


def most_score(
    query: Query,
    candidate: Candidate,
    question: Vector,
    headings: Mapping[str, Vector],
    weights: Weights,
) -> float:
    """The highest score that a candidate can have, whatever its vector is."""
    features = query.features(candidate)
    heading = _heading_cosine(candidate, question, headings)
    return max(
        _score({**features, **_closeness(cosine, heading)}, weights)
        for cosine in (-_MOST_COSINE, _MOST_COSINE)
    )


def all_features(
    query: Query, candidate: Candidate, vector: Vector, vectors: Vectors
) -> dict[str, float]:
    """The features of a candidate with this vector, by the names in `weights.yaml`."""
    cosine = float(vectors.question @ vector)
    heading_cosine = _heading_cosine(candidate, vectors.question, vectors.headings)
    return {**query.features(candidate), **_closeness(cosine, heading_cosine)}


def _score(features: Mapping[str, float], weights: Weights) -> float:
    return sum(weight * features[name] for name, weight in weights.ranking.items())


def _heading_cosine(
    candidate: Candidate, question: Vector, headings: Mapping[str, Vector]
) -> float:
    heading = headings.get(candidate.heading)
    return float(question @ heading) if heading is not None else 0.0


def _closeness(cosine: float, heading_cosine: float) -> dict[str, float]:
    """A heading often is the question, and what stands under it the answer in other words.

    So a unit is as close to the question as the closer of the two.
    """
    return {
        "cosine": cosine,
        "heading_cosine": heading_cosine,
        "closeness": max(cosine, heading_cosine),
    }


def _rarity(words: Sequence[str], candidates: Sequence[Candidate]) -> dict[str, float]:
    """BM25's inverse document frequency, with the candidates under their headings as documents.

    So a product's name that stands in every title says little.
    """
    wanted = set(words)
    found = Counter(word for c in candidates for word in c.above.union(c.words) & wanted)
    count = len(candidates)
    return {w: math.log(1 + (count - found[w] + 0.5) / (found[w] + 0.5)) for w in words}
