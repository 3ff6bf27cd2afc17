"""Measures of rankings and of probabilities."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_RESAMPLES = 1_000
_SEED = 17


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
    for rank, document in enumerate(ranking[:depth], start=1):
        if grades.get(document, 0.0) > 0:
            return 1.0 / rank
    return 0.0


def precision(ranking: Sequence[str], grades: Mapping[str, float], depth: int = 5) -> float:
    """Share of relevant documents among the first `depth`."""
    return sum(grades.get(document, 0.0) > 0 for document in ranking[:depth]) / depth


MEASURES: dict[str, Callable[[Sequence[str], Mapping[str, float]], float]] = {
    "nDCG@10": ndcg,
    "R@10": recall,
    "MRR@10": reciprocal_rank,
    "P@5": precision,
}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean over queries (percentile method)."""
    sample = np.asarray(values)
    generator = np.random.default_rng(_SEED)
    picks = generator.integers(0, len(sample), size=(_RESAMPLES, len(sample)))
    low, high = np.percentile(sample[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def auroc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """The chance that a positive is above a negative, ties counted half (Mann–Whitney)."""
    above = np.asarray(positives)
    below = np.sort(np.asarray(negatives))
    left = np.searchsorted(below, above, "left")
    right = np.searchsorted(below, above, "right")
    return float((left + right).mean() / 2 / len(below))


def calibration_error(
    probabilities: Sequence[float], outcomes: Sequence[bool], bins: int = 10
) -> float:
    """Expected calibration error: the mean gap of probability and share, over equal bins."""
    chances, truths = np.asarray(probabilities), np.asarray(outcomes, float)
    places = np.minimum((chances * bins).astype(int), bins - 1)
    gaps = [
        (places == place).mean()
        * abs(chances[places == place].mean() - truths[places == place].mean())
        for place in range(bins)
        if (places == place).any()
    ]
    return float(sum(gaps))


def risk_at(probabilities: Sequence[float], outcomes: Sequence[bool], coverage: float) -> float:
    """Share of wrong ones among the `coverage` most probable (El-Yaniv & Wiener 2010)."""
    order = np.argsort(-np.asarray(probabilities), kind="stable")
    kept = order[: max(1, round(coverage * len(order)))]
    return float(1.0 - np.asarray(outcomes, float)[kept].mean())


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
