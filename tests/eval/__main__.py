"""`make eval`: prints how well search finds, and how well it knows that it has not found."""

import json
import sys
from pathlib import Path
from typing import Any

from retrieval.evaluation.arms import by_vectors, by_words
from retrieval.evaluation.measures import MEASURES, interval
from retrieval.index import ranking, relevance
from retrieval.index.weights import Weights, load_weights

from . import conflicts
from .fitting import RankedQuery
from .late_interaction import Tokens, cases_of, fitted_weight, reordered
from .metrics import auroc, calibration_error, risk_at
from .relevance_data import ANSWERED, NOT_ANSWERED, SHORT_FORMS, Example
from .workbench import Workbench, open_workbench, parser, short, table

METHODS = ("bm25", "dense", "fused")
RERANKED = "fused + rerank"
_THRESHOLDS = (0.5, 0.3)
_RISK_KINDS = ("unanswerable", "off_topic")
_COVERAGES = (0.1, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Prints the tables; writes them as JSON where told to."""
    arguments = parser("Measures search and relevance on labelled sets.")
    arguments.add_argument(
        "--without-rerank",
        action="store_true",
        help="without the local reranker: most of the time",
    )
    arguments.add_argument("--json", type=Path, help="also write the figures there")
    options = arguments.parse_args()
    found_conflicts = conflicts.report()
    bench = open_workbench(options)
    if not bench.sets:
        print(f"no labelled set under {options.data}: nothing was measured")
        return
    weights = load_weights()
    print(f"model {bench.cache.model}, weights {weights.version}\n")
    tokens = None if options.without_rerank else Tokens(options.cache)
    figures = {"ranking": rankings(bench, weights, options.queries, tokens)}
    figures["relevance"] = judged(bench, weights)
    figures["conflicts"] = found_conflicts
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def rankings(
    bench: Workbench, weights: Weights, limit: int, tokens: Tokens | None
) -> dict[str, Any]:
    """Each method's measures on each set, with 95 % intervals, and averaged over the sets."""
    methods = METHODS if tokens is None else (*METHODS, RERANKED)
    figures: dict[str, Any] = {}
    rows: list[list[str]] = []
    for evaluated in bench.sets:
        queries = bench.ranked_queries(evaluated, limit)
        orders = {m: [ordered(query, m, weights) for query in queries] for m in METHODS}
        if tokens is not None:
            cases = cases_of(bench, evaluated.name, tokens, limit)
            orders[RERANKED] = [reordered(case, "stored", fitted_weight()) for case in cases]
        for method in methods:
            found = measure(queries, orders[method])
            figures[f"{evaluated.name}/{method}"] = found
            cells = [f"{m:.3f} [{low:.3f}, {high:.3f}]" for m, low, high in found.values()]
            rows.append([short(evaluated.name), f"{len(queries)}", method, *cells])
    for method in methods:
        means = [
            sum(figures[f"{e.name}/{method}"][name][0] for e in bench.sets) / len(bench.sets)
            for name in MEASURES
        ]
        rows.append(["average of sets", "", method, *(f"{mean:.3f}".ljust(20) for mean in means)])
    print(table(["set", "questions", "method", *MEASURES], rows), end="\n\n")
    return figures


def measure(
    queries: list[RankedQuery], orders: list[list[str]]
) -> dict[str, tuple[float, float, float]]:
    """Mean and 95 % interval of each measure, from each question's documents in order."""
    values: dict[str, list[float]] = {name: [] for name in MEASURES}
    for query, documents in zip(queries, orders, strict=True):
        for name, function in MEASURES.items():
            values[name].append(function(documents, query.grades))
    return {name: (sum(v) / len(v), *interval(v)) for name, v in values.items()}


def ordered(query: RankedQuery, method: str, weights: Weights) -> list[str]:
    """The documents in a method's order, each at its best passage's place."""
    of = {c.chunk_no: d for c, d in zip(query.candidates, query.documents, strict=True)}
    ranked = ranking.rank(query.candidates, query.facts, weights.fusion)
    if method == "bm25":
        ranked = by_words(ranked)
    elif method == "dense":
        ranked = by_vectors(ranked)
    return list(dict.fromkeys(of[item.candidate.chunk_no] for item in ranked))


def judged(bench: Workbench, weights: Weights) -> dict[str, Any]:
    """AUROC of relevance by kind of question, and what the thresholds do."""
    maker = bench.examples(weights.fusion)
    examples = list(maker.examples())
    figures: dict[str, Any] = {}
    for label, vectors in (("with vectors", True), ("words alone", False)):
        scored = [(e, probability(e, weights, vectors=vectors)) for e in examples]
        print(f"relevance, {label}: AUROC against the answered questions of the same size")
        figures[label] = print_relevance(scored)
        figures[f"{label}, risk"] = print_risk(scored)
    for words in SHORT_FORMS:
        scored = [(e, probability(e, weights, vectors=True)) for e in maker.examples(words)]
        print(f"relevance, with vectors, of the {words} longest words of each question")
        figures[f"{words} words"] = print_relevance(scored)
    return figures


def probability(example: Example, weights: Weights, *, vectors: bool) -> float:
    """Relevance of an example, as the service computes it."""
    found = example.signals if vectors else example.word_signals
    return relevance.from_signals(found, weights.relevance) if found else 0.0


def print_relevance(scored: list[tuple[Example, float]]) -> dict[str, Any]:
    """A row for each set: AUROC by kind, and shares on the right side of the thresholds."""
    rows: list[list[str]] = []
    figures: dict[str, Any] = {}
    for name in dict.fromkeys(e.set_name for e, _ in scored):
        by_kind: dict[str, list[float]] = {}
        for example, value in scored:
            if example.set_name == name:
                by_kind.setdefault(example.kind, []).append(value)
        found = relevance_figures(by_kind)
        figures[name] = found
        rows.append([short(name), *(f"{v:.3f}" if v is not None else "" for v in found.values())])
    print(table(["set", *next(iter(figures.values()))], rows), end="\n\n")
    return figures


def print_risk(scored: list[tuple[Example, float]]) -> dict[str, Any]:
    """For each set and kind without an answer, as many of these as answered: error and risks."""
    rows: list[list[str]] = []
    figures: dict[str, Any] = {}
    for name in dict.fromkeys(e.set_name for e, _ in scored):
        mine = [(e, value) for e, value in scored if e.set_name == name]
        answered = [value for e, value in mine if e.kind == ANSWERED[0]]
        for kind in _RISK_KINDS:
            others = [value for e, value in mine if e.kind == kind]
            if not others:
                continue
            count = min(len(answered), len(others))
            chances = [*answered[:count], *others[:count]]
            truths = [True] * count + [False] * count
            found = {
                "calibration error": calibration_error(chances, truths),
                **{f"risk at {c:.0%}": risk_at(chances, truths, c) for c in _COVERAGES},
            }
            figures[f"{name}/{kind}"] = found
            rows.append([short(name), kind, f"{2 * count}", *(f"{v:.3f}" for v in found.values())])
    head = ["set", "without answer", "questions", "calibration error"]
    print("half answered, half not: share without an answer among the most relevant")
    print(table([*head, *(f"risk at {c:.0%}" for c in _COVERAGES)], rows), end="\n\n")
    return figures


def relevance_figures(by_kind: dict[str, list[float]]) -> dict[str, float | None]:
    """AUROC of each kind without an answer; shares of answered and off-topic questions."""
    found: dict[str, float | None] = {}
    for kind in NOT_ANSWERED:
        against = by_kind[ANSWERED[1] if kind.startswith("small") else ANSWERED[0]]
        found[kind] = auroc(against, by_kind[kind]) if kind in by_kind else None
    for threshold in _THRESHOLDS:
        answered = by_kind[ANSWERED[0]]
        found[f"answered>={threshold}"] = sum(v >= threshold for v in answered) / len(answered)
    strangers = by_kind.get("off_topic", [])
    for threshold in _THRESHOLDS:
        below = sum(v < threshold for v in strangers)
        found[f"off_topic<{threshold}"] = below / len(strangers) if strangers else None
    return found


if __name__ == "__main__":
    sys.exit(main())
