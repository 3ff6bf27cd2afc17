"""Measures of rankings, and how sure their means are."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 1_000
_SEED = 17
# The resampled places are made in blocks of about this many.
_BLOCK = 1_000_000


def ndcg(ranking: Sequence[str], grades: Mapping[str, float], depth: int = 10) -> float:
    """Normalised discounted cumulative gain with linear gains (Järvelin & Kekäläinen 2002)."""
    gains = [grades.get(document, 0.0) for document in ranking[:depth]]
    ideal = sorted(grades.values(), reverse=True)[:depth]
    return _dcg(gains) / _dcg(ideal)


def recall(ranking: Sequence[str], grades: Mapping[str, float], depth: int = 10) -> float:
    """Share of the relevant documents among the first `depth`."""
    relevant = {document for document, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:depth])) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], grades: Mapping[str, float], depth: int = 10) -> float:
    """One over the rank of the first relevant document; 0 when none is among the first `depth`."""
    rank = first_rank(ranking[:depth], grades)
    return 1.0 / rank if rank else 0.0


def precision(ranking: Sequence[str], grades: Mapping[str, float], depth: int = 5) -> float:
    """Share of relevant documents among the first `depth`."""
    return sum(grades.get(document, 0.0) > 0 for document in ranking[:depth]) / depth


MEASURES: dict[str, Callable[[Sequence[str], Mapping[str, float]], float]] = {
    "nDCG@10": ndcg,
    "R@10": recall,
    "MRR@10": reciprocal_rank,
    "P@5": precision,
}


def first_rank(ranking: Sequence[str], grades: Mapping[str, float]) -> int | None:
    """The rank, from 1, of the first relevant document; None when there is none."""
    ranks = (n for n, document in enumerate(ranking, start=1) if grades.get(document, 0.0) > 0)
    return next(ranks, None)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean over queries (percentile method)."""
    low, high = np.percentile(_resampled_means(np.asarray(values, float)), [2.5, 97.5])
    return float(low), float(high)


def _resampled_means(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    generator = np.random.default_rng(_SEED)
    rows = max(1, _BLOCK // len(sample))
    means: list[NDArray[np.float64]] = []
    for begin in range(0, _RESAMPLES, rows):
        count = min(rows, _RESAMPLES - begin)
        picks = generator.integers(0, len(sample), size=(count, len(sample)))
        means.append(sample[picks].mean(axis=1))
    return np.concatenate(means)


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
