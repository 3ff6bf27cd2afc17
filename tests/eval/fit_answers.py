"""Fits the weights of `local/extractive`: which unit is the answer, and whether it is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from .metrics import auroc
from .workbench import short, table

RANKING = (
    "cosine",
    "heading_cosine",
    "coverage",
    "coverage_in_context",
    "heading_coverage",
    "heading_overlap",
    "bigrams",
    "passage_rank",
    "is_question",
    "is_pointer",
)
# The support model sees what one unit can be judged by, and nothing of the passage's rank.
SUPPORT = ("closeness", "coverage_in_context")
_RIDGE = 0.005

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FitCase:
    """A question's candidates: their features, and which of them hold the answer."""

    features: Sequence[Mapping[str, float]]
    right: Sequence[bool]

    @property
    def tells(self) -> bool:
        """Whether it says something of the order: some candidates are right and some are not."""
        return any(self.right) and not all(self.right)


Cases = Mapping[str, Sequence[FitCase]]


def print_fit(cases: Cases) -> None:
    """What each set gets from the weights of the others, then the weights of all."""
    rows: list[list[str]] = []
    for name in cases:
        others = {other: found for other, found in cases.items() if other != name}
        ranking = fit_ranking(others)
        support = fit_support(others, ranking)
        best = [(case, _best(case, ranking)) for case in cases[name]]
        findable = [case.right[at] for case, at in best if any(case.right)]
        right = [_support(case, at, support) for case, at in best if case.right[at]]
        wrong = [_support(case, at, support) for case, at in best if not any(case.right)]
        rows.append([short(name), f"{np.mean(findable):.3f}", f"{auroc(right, wrong):.3f}"])
    print("by the weights of the other sets")
    print(table(["set", "best unit right, where one is", "AUROC of support"], rows))
    ranking = fit_ranking(cases)
    bias, *support = fit_support(cases, ranking)
    print("ranking", dict(zip(RANKING, ranking.round(2).tolist(), strict=True)))
    print(
        "support",
        {"bias": round(bias, 2)} | dict(zip(SUPPORT, np.round(support, 2).tolist(), strict=True)),
    )


def fit_ranking(cases: Cases) -> Vector:
    """Weights that make the right candidates likely among all, by softmax; sets count alike."""
    groups = [
        (_matrix(case, RANKING), np.array(case.right), 1 / sum(one.tells for one in found))
        for found in cases.values()
        for case in found
        if case.tells
    ]

    def loss(weights: Vector) -> tuple[float, Vector]:
        total, slope = _RIDGE * float(weights @ weights), 2 * _RIDGE * weights
        for inputs, right, share in groups:
            scores = inputs @ weights
            odds = np.exp(scores - scores.max())
            likely = odds / odds.sum()
            among_right = odds * right / (odds * right).sum()
            total -= share * float(np.log((likely * right).sum()))
            slope = slope - share * (inputs.T @ (among_right - likely))
        return total, slope

    start = np.zeros(len(RANKING))
    return minimize(loss, start, jac=True, method="L-BFGS-B").x


def fit_support(cases: Cases, ranking: Vector) -> Vector:
    """Bias and weights of "the best candidate is right"; sets count alike."""
    features: list[list[float]] = []
    labels: list[float] = []
    shares: list[float] = []
    for found in cases.values():
        for case in found:
            at = _best(case, ranking)
            features.append([case.features[at][name] for name in SUPPORT])
            labels.append(float(case.right[at]))
            shares.append(1 / len(found))
    weights = np.array(shares) / np.mean(shares)
    return _logistic(np.array(features), np.array(labels), weights)


def _matrix(case: FitCase, names: Sequence[str]) -> Vector:
    return np.array([[one[name] for name in names] for one in case.features])


def _best(case: FitCase, ranking: Vector) -> int:
    return int(np.argmax(_matrix(case, RANKING) @ ranking))


def _support(case: FitCase, at: int, weights: Vector) -> float:
    inputs = np.array([1.0, *(case.features[at][name] for name in SUPPORT)])
    return float(inputs @ weights)


def _logistic(features: NDArray[Any], labels: NDArray[Any], shares: NDArray[Any]) -> Vector:
    """Bias and weights by Newton's method, with a slight ridge."""
    inputs = np.column_stack([np.ones(len(features)), features])
    ridge = 1e-3 * len(features) * np.diag([0.0] + [1.0] * features.shape[1])
    weights = np.zeros(inputs.shape[1])
    for _ in range(50):
        likely = 1 / (1 + np.exp(-inputs @ weights))
        curve = (inputs * (shares * likely * (1 - likely))[:, None]).T @ inputs + ridge
        weights -= np.linalg.solve(curve, inputs.T @ (shares * (likely - labels)) + ridge @ weights)
    return weights
