"""Fits which questions are difficult: those that `local/extractive` does not answer rightly.

`python -m tests.eval.fit_routing [--write]`: the labelled questions of tests.eval.answers, those
that retrieval thinks are answered (relevance ≥ 0.5, as conversation asks before it lets a model
answer). Prints the AUROC on each set by the weights of the other sets, and which share of the
failures are among the most difficult 30 %; `--write` writes llm_gateway/routing.json.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import llm_gateway
import numpy as np
from fleetkit.tokens import TokenCounter, tokenizer_path
from llm_gateway.question import Question
from llm_gateway.routing import RoutingWeights, difficulty, signals
from numpy.typing import NDArray
from retrieval.index import ranking, relevance
from retrieval.index.weights import load_weights as load_retrieval
from scipy.optimize import minimize

from .answers import Asked, Knowledge, asked_of, case_of
from .memory_index import Query
from .metrics import auroc
from .sets import available
from .vectors import VectorCache
from .workbench import parser, short, table

_SETS = ("retrieval_emanual_s10", "retrieval_claude_docs", "retrieval_squad2_a")
_LEAST_RELEVANCE = 0.5
_PLANNED = 0.3
_RIDGE = 0.01
# What the sets hold too few of to be fitted is set by hand, and printed as such: their questions
# have one part, compare nothing and follow none.
_BY_HAND = {"parts": 1.5, "comparison": 1.0, "follow_up": 0.5}

Vector = NDArray[np.float64]
Labelled = list[tuple[Question, bool]]


def main() -> None:
    """Prints the tables; with --write also writes the weights."""
    arguments = parser("Fits the difficulty of questions on labelled sets.")
    arguments.add_argument("--write", action="store_true", help="write routing.json")
    options = arguments.parse_args()
    cache = VectorCache(options.cache)
    tokens = TokenCounter(tokenizer_path(None))
    cases: dict[str, Labelled] = {}
    for one in available(options.data, _SETS):
        known = Knowledge(one, tokens, cache)
        asked = asked_of(options.data / f"{one.name}.tar.gz", options.queries)
        cases[one.name] = [*_labelled(known, asked, cache)]
    rows: list[list[str]] = []
    for name, found in cases.items():
        others = [case for other, them in cases.items() if other != name for case in them]
        weights = fitted(others)
        scores = np.array([difficulty(question, weights) for question, _ in found])
        failed = np.array([not right for _, right in found])
        hard = scores > np.quantile(scores, 1 - _PLANNED)
        mine = [len(found), failed.mean()]
        area = auroc(scores[failed].tolist(), scores[~failed].tolist())
        row = [short(name), f"{mine[0]}", f"{mine[1]:.2f}", f"{area:.3f}"]
        rows.append([*row, f"{hard[failed].mean():.2f}", f"{failed[~hard].mean():.2f}"])
    header = ["set", "questions", "failed", "AUROC", f"failed in hardest {_PLANNED:.0%}", "in rest"]
    print(table(header, rows))
    weights = fitted([case for them in cases.values() for case in them])
    print(json.dumps(weights.coefficients, indent=1))
    if options.write:
        _write(weights, {name: len(found) for name, found in cases.items()})


def _labelled(
    known: Knowledge, asked: Iterable[Asked], cache: VectorCache
) -> Iterator[tuple[Question, bool]]:
    """The questions that a model would be asked, and whether `local/extractive` got them right."""
    weights = load_retrieval()
    for one in asked:
        query = Query(one.text, cache.embed([one.text])[0])
        candidates, facts = known.index.candidates(query)
        ranked = ranking.rank(candidates, facts, weights.fusion)
        texts = {no: known.index.chunks[no].embedded for no in facts.matched}
        found = relevance.probability(ranked, facts, texts, weights.relevance)
        if found < _LEAST_RELEVANCE or not one.gold:
            continue
        passages = known.search(one.text)
        case = case_of("answerable", one, passages, cache)
        question = Question("extractive", "", (), passages, one.text, 1024, 0, False)
        yield replace(question, relevance=found), case.text_right


def fitted(cases: Labelled) -> RoutingWeights:
    """Logistic regression with ridge, the signals set by hand left at their weights."""
    names = [name for name in signals(cases[0][0]) if name not in _BY_HAND]
    rows = np.array([[signals(q)[name] for name in names] for q, _ in cases])
    failed = np.array([not right for _, right in cases], dtype=float)

    def loss(weights: Vector) -> float:
        logits = rows @ weights[1:] + weights[0]
        wrong = np.logaddexp(0, logits) - failed * logits
        return float(wrong.mean() + _RIDGE * (weights[1:] ** 2).sum())

    best = minimize(loss, np.zeros(len(names) + 1), method="L-BFGS-B").x
    coefficients = dict(zip(names, best[1:].round(3).tolist(), strict=True)) | _BY_HAND
    unscaled = RoutingWeights(round(float(best[0]), 3), coefficients, ())
    scores = [difficulty(question, unscaled) for question, _ in cases]
    quantiles = np.quantile(scores, np.linspace(0, 1, 101)).round(4).tolist()
    return replace(unscaled, quantiles=tuple(quantiles))


def _write(weights: RoutingWeights, counts: dict[str, int]) -> None:
    path = Path(llm_gateway.__file__).parent / "routing.json"
    data = {
        "fitted_on": counts,
        "by_hand": sorted(_BY_HAND),
        "bias": weights.bias,
        "coefficients": dict(weights.coefficients),
        "quantiles": list(weights.quantiles),
    }
    path.write_text(json.dumps(data, indent=1) + "\n")
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
