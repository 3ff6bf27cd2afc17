"""Measures of probabilities; those of rankings are the product's, `retrieval.evaluation`."""

from collections.abc import Sequence

import numpy as np


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
