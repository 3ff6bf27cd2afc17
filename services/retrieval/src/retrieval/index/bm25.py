"""BM25 (Robertson & Zaragoza 2009), with the idf that is never negative.

`retrieval.index.scan` scores all of a tenant's passages at once by this formula; one passage at a
time is for the evaluation, and the reference of the tests.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

K1 = 1.2
B = 0.75


@dataclass(frozen=True, slots=True)
class CorpusStats:
    """What BM25 needs to know of a tenant's passages."""

    chunk_count: int
    length_sum: float

    @property
    def mean_length(self) -> float:
        """Mean weighted terms per passage; 1 for an empty corpus."""
        return self.length_sum / self.chunk_count if self.chunk_count and self.length_sum else 1.0


def idf(document_frequency: int, chunk_count: int) -> float:
    """ln(1 + (N − df + ½) / (df + ½))."""
    return math.log(1.0 + (chunk_count - document_frequency + 0.5) / (document_frequency + 0.5))


def term_score(weight: float, length: float, mean_length: float) -> float:
    """The part of a term's score that depends on the passage, 0 to k1 + 1."""
    return weight * (K1 + 1.0) / (weight + K1 * (1.0 - B + B * length / mean_length))


def score(
    weights: Mapping[str, float],
    length: float,
    query: Mapping[str, int],
    frequencies: Mapping[str, int],
    stats: CorpusStats,
) -> float:
    """The score of one passage with term `weights` for the query terms (each counted once)."""
    return sum(
        idf(frequencies.get(term, 0), stats.chunk_count)
        * term_score(weights[term], length, stats.mean_length)
        for term in query
        if term in weights
    )
