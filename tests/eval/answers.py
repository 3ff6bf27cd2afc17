"""How well `local/extractive` answers, and how well it knows that it cannot.

`python -m tests.eval.answers [--fit]`: questions of the labelled sets whose answers are known go
through retrieval's passages (the fused top 5) and the service's own ranking and composing.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fleetkit.tokens import TokenCounter, tokenizer_path
from llm_gateway.extractive.composing import compose
from llm_gateway.extractive.ranking import Ranked, load_weights, rank
from llm_gateway.extractive.terms import terms
from llm_gateway.providers.extractive import prepare
from llm_gateway.question import Passage, Question
from numpy.typing import NDArray
from retrieval.index import ranking
from retrieval.index.weights import load_weights as load_fusion
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.prepare import PrepareOptions
from retrieval.parsing.prepare import prepare as prepare_document

from .memory_index import MemoryIndex, Query
from .metrics import auroc
from .sets import EvalSet, _lines, available
from .vectors import VectorCache
from .workbench import parser, short, table

_SETS = ("retrieval_emanual_s10", "retrieval_claude_docs", "retrieval_squad2_a")
_TOP = 5
# The support model sees what one unit can be judged by, and nothing of the passage's rank.
_SUPPORT = ("cosine", "coverage_in_context")
_HOLDS_TERMS = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """A question; `gold` has texts one of which an answer should hold, none when unanswerable."""

    text: str
    gold: tuple[str, ...]
    whole: str
    documents: frozenset[str]


@dataclass(frozen=True, slots=True)
class Case:
    """What became of a question; `kind` is answerable, unanswerable, removed or other."""

    kind: str
    asked: Asked
    best: Ranked | None
    features: dict[str, float]
    text: str


class Knowledge:
    """A set's passages as retrieval gives them."""

    def __init__(self, evaluated: EvalSet, tokens: TokenCounter, cache: VectorCache) -> None:
        self.name = evaluated.name
        self.index = MemoryIndex.of(evaluated, tokens, cache)
        self.passages = [*_passages(evaluated, tokens)]
        self._cache = cache
        self._fusion = load_fusion().fusion

    def search(self, text: str, without: str = "") -> tuple[Passage, ...]:
        """The fused top 5."""
        query = Query(text, self._cache.embed([text])[0])
        found = ranking.rank(self.index.candidates(query, without)[0], self._fusion)
        best = sorted(found, key=lambda item: (-item.fused, item.candidate.chunk_no))[:_TOP]
        return tuple(self.passages[item.candidate.chunk_no] for item in best)


def main() -> None:
    """Prints the tables; with --fit also what the weights of support would be."""
    arguments = parser("Measures the extractive answers on labelled sets.")
    arguments.add_argument("--fit", action="store_true", help="print fitted weights of support")
    options = arguments.parse_args()
    cache = VectorCache(options.cache)
    tokens = TokenCounter(tokenizer_path(None))
    sets = [*available(options.data, _SETS)]
    knowledge = [Knowledge(evaluated, tokens, cache) for evaluated in sets]
    cases: dict[str, list[Case]] = {}
    for number, known in enumerate(knowledge):
        other = knowledge[(number + 1) % len(knowledge)]
        asked = [*_asked(options.data / f"{known.name}.tar.gz", options.queries)]
        cases[known.name] = [*_cases(known, other, asked, cache)]
    print_table(cases)
    if options.fit:
        print_fit(cases)


def print_table(cases: dict[str, list[Case]]) -> None:
    """A row for each set."""
    least = load_weights().least_support
    header = [
        "set",
        "questions",
        "best unit right",
        "answered",
        "of these right",
        "recall",
        "chars",
    ]
    header += [f"{kind} answered" for kind in ("unanswerable", "removed", "other")] + ["AUROC"]
    rows: list[list[str]] = []
    for name, found in cases.items():
        mine = [case for case in found if case.kind == "answerable"]
        answered = [case for case in mine if case.text]
        row = [short(name), f"{len(mine)}", _share([_best_right(case) for case in mine])]
        row += [_share([bool(case.text) for case in mine])]
        row += [_share([_right(case.text, case.asked) for case in answered])]
        row += [_mean([_recall(case.text, case.asked) for case in answered])]
        row += [f"{np.mean([len(case.text) for case in answered]):.0f}"]
        for kind in ("unanswerable", "removed", "other"):
            row.append(_share([bool(case.text) for case in found if case.kind == kind]))
        right = [_support(case) for case in mine if _best_right(case)]
        row.append(f"{auroc(right, [_support(c) for c in found if c.kind != 'answerable']):.3f}")
        rows.append(row)
    print(table(header, rows))
    print(f"\nsupport below {least} is no answer\n")


def print_fit(cases: dict[str, list[Case]]) -> None:
    """Logistic regression of "the best unit is right", on all sets and on all but one each."""
    for left_out in (None, *cases):
        rows = [
            (name, case)
            for name, found in cases.items()
            for case in found
            if case.best is not None and name != left_out
        ]
        per_set = {name: sum(n == name for n, _ in rows) for name in cases}
        features = np.array([[case.features[key] for key in _SUPPORT] for _, case in rows])
        labels = np.array([float(_best_right(case)) for _, case in rows])
        shares = np.array([1 / per_set[name] for name, _ in rows])
        weights = _logistic(features, labels, shares / shares.mean())
        print("all sets" if left_out is None else f"without {short(left_out)}", weights.round(2))


def _cases(
    known: Knowledge, other: Knowledge, asked: Sequence[Asked], cache: VectorCache
) -> Iterator[Case]:
    for one in asked:
        kind = "answerable" if one.gold else "unanswerable"
        yield _case(kind, one, known.search(one.text), cache)
        if one.gold and len(one.documents) == 1:
            without = known.search(one.text, next(iter(one.documents)))
            yield _case("removed", one, without, cache)
        yield _case("other", one, other.search(one.text), cache)


def _case(kind: str, asked: Asked, passages: tuple[Passage, ...], cache: VectorCache) -> Case:
    weights = load_weights()
    question = Question("extractive", "", (), passages, asked.text, 1024, 0, False)
    prepared = prepare(question)
    if not prepared.candidates:
        return Case(kind, asked, None, {}, "")
    texts = [prepared.asked, *(candidate.unit.text for candidate in prepared.candidates)]
    vectors = cache.embed(texts)
    ranked = rank(prepared.query, vectors[0], prepared.candidates, [*vectors[1:]], weights)
    parts = compose(
        ranked, prepared.units_of, weights.least_support, 1024, prepared.query.wants_steps
    )
    best = ranked[0]
    features = {
        **prepared.query.features(best.candidate),
        "cosine": float(vectors[0] @ best.vector),
    }
    text = "".join(part.glue + part.unit.text for part in parts)
    return Case(kind, asked, best, features, text)


def _asked(archive: Path, most: int) -> Iterator[Asked]:
    grades: dict[str, set[str]] = {}
    for line in _lines_of(archive, "qrels.tsv"):
        query_id, document_id, _ = line.split("\t")
        grades.setdefault(query_id, set()).add(document_id)
    items = [*_lines(archive, "queries.jsonl")]
    for item in items[:: max(1, len(items) // most)][:most]:
        documents = frozenset(grades.get(item["id"], ()))
        gold = tuple(item.get("answers") or ()) if item.get("answerable", True) else ()
        whole = str(item.get("answer", ""))
        yield Asked(item["text"], gold or ((whole,) if whole else ()), whole, documents)


def _lines_of(archive: Path, member: str) -> list[str]:
    from .sets import _read

    return [line for line in _read(archive, member).splitlines()[1:] if line]


def _passages(evaluated: EvalSet, tokens: TokenCounter) -> Iterator[Passage]:
    """The passages in the order of the index."""
    for document in evaluated.documents:
        try:
            options = PrepareOptions(title=document.title)
            made = prepare_document(document.text.encode(), options, tokens)
        except DocumentError:
            continue
        for number, piece in enumerate(made.chunks):
            chunk_id = f"{document.document_id}#{number}"
            text = made.text[piece.start : piece.end]
            yield Passage(
                chunk_id, document.document_id, made.title, tuple(piece.heading_path), text, 0.0
            )


def _right(text: str, asked: Asked) -> bool:
    """Whether a text holds the answer: the words of a short one, half the terms of a long one."""
    if asked.whole:
        found = set(terms(text))
        return (
            len(found & set(terms(asked.whole)))
            >= _HOLDS_TERMS * min(len(found), len(set(terms(asked.whole))))
            > 0
        )
    return any(gold.casefold() in text.casefold() for gold in asked.gold)


def _best_right(case: Case) -> bool:
    if case.kind != "answerable" or case.best is None:
        return False
    return _right(case.best.candidate.unit.text, case.asked)


def _recall(text: str, asked: Asked) -> float:
    if not asked.whole:
        return float(_right(text, asked))
    wanted = set(terms(asked.whole))
    return len(wanted & set(terms(text))) / max(1, len(wanted))


def _support(case: Case) -> float:
    return case.best.support if case.best else 0.0


def _share(found: Sequence[bool]) -> str:
    return f"{np.mean(found):.2f}" if found else ""


def _mean(found: Sequence[float]) -> str:
    return f"{np.mean(found):.2f}" if found else ""


def _logistic(
    features: NDArray[Any], labels: NDArray[Any], shares: NDArray[Any]
) -> NDArray[np.float64]:
    """Bias and weights by Newton's method, with a slight ridge."""
    inputs = np.column_stack([np.ones(len(features)), features])
    ridge = 1e-3 * len(features) * np.diag([0.0] + [1.0] * features.shape[1])
    weights = np.zeros(inputs.shape[1])
    for _ in range(50):
        likely = 1 / (1 + np.exp(-inputs @ weights))
        curve = (inputs * (shares * likely * (1 - likely))[:, None]).T @ inputs + ridge
        weights -= np.linalg.solve(curve, inputs.T @ (shares * (likely - labels)) + ridge @ weights)
    return weights


if __name__ == "__main__":
    sys.exit(main())
