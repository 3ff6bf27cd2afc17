"""Fusing two rankings.

Raw cosines and BM25 scores have different scales, and these differ from query to query, so both
are standardised over the query's candidates (z-scores). How much each then counts follows from
the best cosine: where the vectors are unsure, the words count more. The weights are fitted, see
`retrieval.index.weights`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retrieval.index.weights import FusionWeights


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that one ranking or both found; ranks count from 1.

    `cosine` is None when the query has no vector; `bm25` is 0 when it has none of the terms.
    """

    chunk_no: int
    cosine: float | None
    bm25: float
    dense_rank: int | None
    bm25_rank: int | None


@dataclass(frozen=True, slots=True)
class QueryFacts:
    """What is known of a query: its distinct terms, and where they stand.

    `frequencies` is in how many of the tenant's chunks, without the terms that stand nowhere;
    `matched` is which terms stand in each candidate.
    """

    terms: tuple[str, ...]
    frequencies: Mapping[str, int]
    chunk_count: int
    matched: Mapping[int, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its fused score, 0–1: ½ is the middle of the query's candidates."""

    candidate: Candidate
    fused: float


def rank(candidates: Sequence[Candidate], weights: FusionWeights) -> list[Ranked]:
    """The candidates, best first."""
    cosines = [c.cosine for c in candidates if c.cosine is not None]
    words = _standardised([c.bm25 for c in candidates])
    if len(cosines) == len(candidates) and cosines:
        share = weights.dense_share(max(cosines))
        vectors = _standardised(cosines)
        scores = [share * v + (1 - share) * w for v, w in zip(vectors, words, strict=True)]
    else:
        scores = words
    ranked = [
        Ranked(candidate, 1.0 / (1.0 + math.exp(-score)))
        for candidate, score in zip(candidates, scores, strict=True)
    ]
    # Equal scores keep an order that does not depend on which ranking was asked first.
    return sorted(ranked, key=lambda item: (-item.fused, item.candidate.chunk_no))


def _standardised(values: Sequence[float]) -> list[float]:
    """Z-scores; zeros where all values are the same."""
    if not values:
        return []
    mean = math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
    return [(v - mean) / spread if spread > 1e-9 else 0.0 for v in values]
