"""Fusing two rankings, differently for each query.

Raw cosines and BM25 scores have different scales, and these differ from query to query, so both
are standardised over the query's candidates (z-scores). How much each counts is a linear function
of what the query's own rankings tell: how near the nearest vector is, how many rare words of the
query stand anywhere, how far the best are ahead, how much the two rankings agree. Passages that
have what was asked for to the letter, or its words side by side, gain. The weights are fitted, see
`retrieval.index.weights`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.index.bm25 import K1, idf
from retrieval.index.weights import FusionWeights

Floats = NDArray[np.float64]

_HEAD = 10
_FURTHEST = 3.0
# A small knowledge base says little about how rare a word is: its counts are mixed with this many
# imagined passages in which any word stands in one of a hundred.
_PRIOR_CHUNKS = 50.0
_PRIOR_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that one ranking or both found; ranks count from 1.

    `cosine` is None when the query has no vector; `bm25` is 0 when it has none of the terms;
    `length` as BM25 counts it. `keyword` and `adjacent` are the shares of what was asked for to
    the letter, and of the query's neighbouring words, that it has; see `retrieval.index.exact`.
    """

    chunk_no: int
    cosine: float | None
    bm25: float
    dense_rank: int | None
    bm25_rank: int | None
    length: float = 0.0
    keyword: float = 0.0
    adjacent: float = 0.0


@dataclass(frozen=True, slots=True)
class QueryFacts:
    """What is known of a query: its distinct terms, where they stand, and its text.

    `frequencies` is in how many of the tenant's chunks, without the terms that stand nowhere;
    `matched` is which terms stand in each candidate; `languages` are those of the tenant's texts.
    """

    terms: tuple[str, ...]
    frequencies: Mapping[str, int]
    chunk_count: int
    matched: Mapping[int, frozenset[str]]
    languages: tuple[str, ...] = ("en",)
    text: str = ""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its fused score, 0–1: ½ is the middle of the query's candidates."""

    candidate: Candidate
    fused: float


def rank(
    candidates: Sequence[Candidate], facts: QueryFacts, weights: FusionWeights
) -> list[Ranked]:
    """The candidates, best first."""
    if not candidates:
        return []
    found = signals(candidates, facts)
    scores = sum((found[name] * weights.coefficients.get(name, 0.0) for name in found), np.zeros(1))
    ranked = [
        Ranked(candidate, 1.0 / (1.0 + math.exp(-float(score) / 2.0)))
        for candidate, score in zip(candidates, scores, strict=True)
    ]
    # Equal scores keep an order that does not depend on which ranking was asked first.
    return sorted(ranked, key=lambda item: (-item.fused, item.candidate.chunk_no))


def signals(candidates: Sequence[Candidate], facts: QueryFacts) -> dict[str, Floats]:
    """The signals of each candidate by name.

    "dense" and "words" are z-scores; "dense*x" and "words*x" these times what x is for the query.
    Without vectors words count for both.
    """
    scores = np.array([c.bm25 for c in candidates])
    words = _standardised(scores)
    found = {
        "words": words,
        "keyword": np.array([c.keyword for c in candidates]),
        "adjacent": np.array([c.adjacent for c in candidates]),
        "length": np.log1p([c.length for c in candidates]) - 4.0,
    }
    cosines = [c.cosine for c in candidates if c.cosine is not None]
    if len(cosines) < len(candidates):
        return found | {"dense": words}
    dense = _standardised(np.array(cosines))
    found["dense"] = dense
    for name, value in _gates(np.array(cosines), scores, candidates, facts).items():
        found[f"dense*{name}"] = dense * value
        found[f"words*{name}"] = words * value
    return found


def rarity(frequency: int, chunk_count: int) -> float:
    """How much a term that so many of so many passages have tells."""
    share = (frequency + _PRIOR_CHUNKS * _PRIOR_SHARE) / (chunk_count + _PRIOR_CHUNKS)
    return math.log(1.0 / share)


def _gates(
    cosines: Floats, scores: Floats, candidates: Sequence[Candidate], facts: QueryFacts
) -> dict[str, float]:
    """What the query's rankings tell: each about −1 to 1 for most queries, cut at ±3."""
    near, best = np.sort(cosines)[::-1], np.sort(scores)[::-1]
    head, second = min(_HEAD, len(near)) - 1, min(1, len(near) - 1)
    top = max(float(best[0]), 1e-9)
    rarities = {t: rarity(facts.frequencies.get(t, 0), facts.chunk_count) for t in facts.terms}
    total = math.fsum(rarities.values()) or 1.0
    known = math.fsum(rarities[t] for t in facts.terms if t in facts.frequencies) / total
    coverage = max(
        math.fsum(rarities[t] for t in facts.matched.get(c.chunk_no, ())) / total
        for c in candidates
    )
    limit = (K1 + 1.0) * math.fsum(
        idf(facts.frequencies.get(t, 0), facts.chunk_count) for t in facts.terms
    )
    both = {*np.argsort(-cosines)[:_HEAD]} & {*np.argsort(-scores)[:_HEAD]}
    found = {
        "best_cosine": 4.0 * (float(near[0]) - 0.55),
        "cosine_margin": 8.0 * (float(near[0] - near[head]) - 0.15),
        "cosine_lead": 15.0 * (float(near[0] - near[second]) - 0.04),
        "bm25_share": 3.0 * (float(best[0]) / max(limit, 1e-9) - 0.4),
        "bm25_margin": 3.0 * (float(best[0] - best[head]) / top - 0.4),
        "bm25_lead": 4.0 * (float(best[0] - best[second]) / top - 0.15),
        "agreement": 3.0 * (len(both) / _HEAD - 0.4),
        "terms": math.log1p(len(facts.terms)) - 2.0,
        "coverage": 3.0 * (coverage - 0.6),
        "known_terms": 5.0 * (known - 0.9),
    }
    return {name: min(max(value, -_FURTHEST), _FURTHEST) for name, value in found.items()}


def _standardised(values: Floats) -> Floats:
    """Z-scores; zeros where all values are the same."""
    spread = float(values.std())
    return (values - values.mean()) / spread if spread > 1e-9 else np.zeros(len(values))
