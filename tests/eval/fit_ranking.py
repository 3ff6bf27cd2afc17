"""Fits `weights.json` of retrieval: `python -m tests.eval.fit_ranking --write`.

Prints first what each set gets from weights fitted on the other sets alone, which is the figure
to believe.
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from retrieval.evaluation.measures import MEASURES
from retrieval.index import relevance
from retrieval.index.weights import (
    FusionWeights,
    LogisticModel,
    RelevanceModels,
    RelevanceWeights,
    Weights,
    load_weights,
)

from .__main__ import measure, ordered, print_relevance, print_risk, probability
from .fitting import EVEN, RankedQuery, fit_fusion, fit_relevance
from .relevance_data import SHORT_FORMS, Example
from .workbench import Workbench, open_workbench, parser, short, table

_NONE = RelevanceModels(LogisticModel({}, 0.0), LogisticModel({}, 0.0))
_WITH_VECTOR = (
    "best_cosine", "top_cosine", "cosine_margin", "top_coverage", "best_coverage", "known_terms",
    "log_terms", "adjacent", "sentence_coverage",
)  # fmt: skip
_WITHOUT_VECTOR = (
    "top_coverage", "best_coverage", "known_terms", "log_terms", "bm25_share", "bm25_margin",
    "adjacent", "sentence_coverage",
)  # fmt: skip


def main() -> None:
    """Fits, prints, and writes where told to."""
    arguments = parser("Fits the weights of fusion and relevance.")
    arguments.add_argument("--write", action="store_true", help="replace weights.json")
    arguments.add_argument(
        "--keep-fusion", action="store_true", help="fit relevance alone, for the fusion in use"
    )
    arguments.add_argument("--version", default="3", help="version of the new weights")
    options = arguments.parse_args()
    bench = open_workbench(options)
    queries = {e.name: bench.ranked_queries(e, options.queries) for e in bench.sets}
    held_out = print_fusion(queries)
    fusion = load_weights().fusion if options.keep_fusion else fit_fusion(queries)
    maker = bench.examples(fusion)
    forms = {words: list(maker.examples(words)) for words in (0, *SHORT_FORMS)}
    held_out |= print_held_out_relevance(forms, fusion)
    weights = Weights(options.version, fusion, _fit(forms))
    data = as_json(weights, bench, queries, held_out)
    print(json.dumps({key: data[key] for key in ("fusion", "relevance")}, indent=1))
    if options.write:
        path = Path(str(files("retrieval.index") / "weights.json"))
        path.write_text(json.dumps(data, indent=2) + "\n")
        print(f"wrote {path}")


def print_fusion(queries: dict[str, list[RankedQuery]]) -> dict[str, Any]:
    """Each set's measures with weights of the other sets, beside BM25, dense and even weights."""
    rows: list[list[str]] = []
    found: dict[str, Any] = {}
    for name, asked in queries.items():
        others = {other: rows_ for other, rows_ in queries.items() if other != name}
        fitted = fit_fusion(others)
        nothing = RelevanceWeights(_NONE, _NONE)
        cells: list[str] = []
        for method, fusion in (
            ("bm25", EVEN),
            ("dense", EVEN),
            ("even", EVEN),
            ("fused", fitted),
        ):
            weights = Weights("", fusion, nothing)
            values = measure(asked, [ordered(query, method, weights) for query in asked])
            cells.append(f"{values['nDCG@10'][0]:.3f}/{values['R@10'][0]:.3f}")
            found.setdefault(short(name), {})[method] = {
                key: round(values[key][0], 4) for key in MEASURES
            }
        rows.append([short(name), *cells])
    print("nDCG@10/R@10; fused: fitted on the other sets")
    print(table(["set", "bm25", "dense", "even z-scores", "fused"], rows), end="\n\n")
    return {"ranking": found}


def print_held_out_relevance(
    forms: dict[int, list[Example]], fusion: FusionWeights
) -> dict[str, Any]:
    """Relevance of each set by the models of the other sets, by the form of its questions."""
    found: dict[str, Any] = {}
    fitted = {
        name: Weights("", fusion, _fit(_without(forms, name)))
        for name in dict.fromkeys(e.set_name for e in forms[0])
    }
    for words, examples in forms.items():
        for label, vectors in (("with_vector", True), ("without_vector", False)):
            scored = [(e, probability(e, fitted[e.set_name], vectors=vectors)) for e in examples]
            title = f"{label}, {words} words" if words else label
            print(f"relevance {title}: AUROC, each set by the models of the others")
            figures = print_relevance(scored)
            if not words:
                print_risk(scored)
            found[title] = {
                short(name): {k: round(v, 4) for k, v in values.items() if v is not None}
                for name, values in figures.items()
            }
    return {"relevance": found}


def as_json(
    weights: Weights,
    bench: Workbench,
    queries: dict[str, list[RankedQuery]],
    held_out: dict[str, Any],
) -> dict[str, Any]:
    """The file's content."""
    return {
        "version": weights.version,
        "provenance": {
            "fitted": datetime.now(UTC).date().isoformat(),
            "by": "python -m tests.eval.fit_ranking",
            "embedding_model": bench.cache.model,
            "questions": {short(name): len(rows) for name, rows in queries.items()},
            "measured_with_weights_of_the_other_sets": held_out,
        },
        "fusion": dict(weights.fusion.coefficients),
        "relevance": asdict(weights.relevance),
    }


def _without(forms: dict[int, list[Example]], name: str) -> dict[int, list[Example]]:
    return {words: [e for e in made if e.set_name != name] for words, made in forms.items()}


def _fit(forms: dict[int, list[Example]]) -> RelevanceWeights:
    """Models for whole questions from those that are no short ones, and models for short ones."""
    whole = [e for e in forms[0] if e.word_signals and not relevance.is_short(e.word_signals)]
    everything = [e for made in forms.values() for e in made if e.word_signals]
    shorts = [e for e in everything if relevance.is_short(e.word_signals)]
    return RelevanceWeights(_models(whole), _models(shorts))


def _models(examples: list[Example]) -> RelevanceModels:
    return RelevanceModels(
        fit_relevance(examples, _WITH_VECTOR, vectors=True),
        fit_relevance(examples, _WITHOUT_VECTOR, vectors=False),
    )


if __name__ == "__main__":
    main()
