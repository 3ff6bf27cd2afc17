"""Fitting the weights of fusion and of relevance, in numpy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from retrieval.index import ranking
from retrieval.index.ranking import Candidate, QueryFacts
from retrieval.index.weights import FusionWeights, LogisticModel

from .relevance_data import Example

Floats = NDArray[np.float64]
_FUSION_STEPS = 300
_FUSION_PENALTY = 0.02
_LOGISTIC_PENALTY = 1e-3
_GATES = (
    "best_cosine", "cosine_margin", "cosine_lead", "bm25_share", "bm25_margin", "bm25_lead",
    "agreement", "terms", "coverage", "known_terms",
)  # fmt: skip
SIGNALS = (
    "dense", "words", "keyword", "adjacent", "length",
    *(f"{side}*{gate}" for gate in _GATES for side in ("dense", "words")),
)  # fmt: skip
EVEN = FusionWeights({"dense": 1.0, "words": 1.0, "keyword": 3.0})
# How much each kind counts among those of its label, before the sets are made equal.
_KIND_WEIGHTS = {
    "answered": 1.0,
    "small_answered": 0.5,
    "unanswerable": 0.5,
    "removed": 0.5,
    "off_topic": 1.0,
    "other_set": 0.7,
    "small_off_topic": 0.5,
    "small_removed": 0.5,
}


@dataclass(frozen=True, slots=True)
class RankedQuery:
    """A question's candidates with the document of each, and the grades of documents."""

    candidates: list[Candidate]
    facts: QueryFacts
    documents: list[str]
    grades: dict[str, float]


def fit_fusion(by_set: dict[str, list[RankedQuery]]) -> FusionWeights:
    """Weights that maximise the likelihood of relevant documents, each set counting the same.

    Listwise (Cao et al. 2007): a softmax over a query's candidates, the best passage of each
    relevant document as target; Adam, with a ridge towards the even blend.
    """
    rows: list[tuple[Floats, Floats, float]] = []
    for queries in by_set.values():
        usable = [row for query in queries if (row := _listwise(query)) is not None]
        rows.extend((features, target, 1.0 / len(usable)) for features, target in usable)
    even = np.array([EVEN.coefficients.get(name, 0.0) for name in SIGNALS])
    weights = even.copy()
    first, second = np.zeros_like(even), np.zeros_like(even)
    for step in range(1, _FUSION_STEPS + 1):
        gradient = 2 * _FUSION_PENALTY * (weights - even)
        for features, target, share in rows:
            scores = features @ weights
            likely = np.exp(scores - scores.max())
            gradient += share / len(by_set) * features.T @ (likely / likely.sum() - target)
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        pace = 0.1 * 0.99 ** max(0, step - _FUSION_STEPS // 2)
        size = np.sqrt(second / (1 - 0.99**step)) + 1e-8
        weights -= pace * first / (1 - 0.9**step) / size
    return FusionWeights({n: round(float(w), 4) for n, w in zip(SIGNALS, weights, strict=True)})


def fit_relevance(
    examples: Sequence[Example], names: Sequence[str], *, vectors: bool
) -> LogisticModel:
    """Ridge logistic regression (Newton's method); labels, sets and kinds are balanced."""
    usable = [e for e in examples if (e.signals if vectors else e.word_signals)]
    features = np.array([_values(e, names, vectors=vectors) for e in usable])
    labels = np.array([float(e.answered) for e in usable])
    shares = _shares(usable, labels)
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    design = np.column_stack([(features - mean) / spread, np.ones(len(usable))])
    ridge = np.append(np.full(len(names), _LOGISTIC_PENALTY), 1e-9)
    beta = np.zeros(len(names) + 1)
    for _ in range(60):
        likely = 1.0 / (1.0 + np.exp(-design @ beta))
        gradient = design.T @ (shares * (likely - labels)) + ridge * beta
        curvature = (design * (shares * likely * (1 - likely))[:, None]).T @ design
        beta -= np.linalg.solve(curvature + np.diag(ridge), gradient)
    slopes = beta[:-1] / spread
    bias = float(beta[-1] - (slopes * mean).sum())
    coefficients = {n: round(float(s), 4) for n, s in zip(names, slopes, strict=True)}
    return LogisticModel(coefficients, round(bias, 4))


def _listwise(query: RankedQuery) -> tuple[Floats, Floats] | None:
    """Features and target of a query; None when no candidate is of a relevant document."""
    ranked = ranking.rank(query.candidates, query.facts, EVEN)
    order = {r.candidate.chunk_no: r.fused for r in ranked}
    best: dict[str, int] = {}
    kept: list[int] = []
    for position, (candidate, document) in enumerate(
        zip(query.candidates, query.documents, strict=True)
    ):
        if query.grades.get(document, 0) <= 0:
            kept.append(position)
        elif (
            document not in best
            or order[candidate.chunk_no] > order[query.candidates[best[document]].chunk_no]
        ):
            best[document] = position
    if not best:
        return None
    kept.extend(best.values())
    found = ranking.signals(query.candidates, query.facts)
    features = np.column_stack([found[name] for name in SIGNALS])[kept]
    target = np.array([0.0] * (len(kept) - len(best)) + [1.0 / len(best)] * len(best))
    return features, target


def _values(example: Example, names: Sequence[str], *, vectors: bool) -> list[float]:
    found = example.signals if vectors else example.word_signals
    return [found[name] for name in names]


def _shares(examples: Sequence[Example], labels: Floats) -> Floats:
    counts = Counter((e.set_name, e.kind) for e in examples)
    shares = np.array([_KIND_WEIGHTS[e.kind] / counts[e.set_name, e.kind] for e in examples])
    for label in (0.0, 1.0):
        shares[labels == label] /= shares[labels == label].sum()
    return shares / shares.sum()
