"""How well `local/extractive` answers, and how well it knows that it cannot.

`python -m tests.eval.answers [--fit]`: questions of the labelled sets whose answers are known go
through retrieval's passages (the fused top 5) and the service's own ranking and composing. Beside
them the headings of articles are asked, as help centres ask them: the section below is the answer.
"""

import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from fleetkit.tokens import TokenCounter, tokenizer_path
from llm_gateway.extractive.ranking import (
    Candidate,
    Ranked,
    Vectors,
    all_features,
    load_weights,
    rank,
)
from llm_gateway.extractive.terms import terms
from llm_gateway.providers.extractive import Prepared, compose_answer, prepare
from llm_gateway.question import Passage, Question
from retrieval.index import ranking, relevance
from retrieval.index.weights import load_weights as load_index_weights
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.prepare import PrepareOptions
from retrieval.parsing.prepare import prepare as prepare_document

from .fit_answers import FitCase, print_fit
from .memory_index import MemoryIndex, Query
from .metrics import auroc
from .sets import EvalSet, _lines, available
from .vectors import VectorCache
from .workbench import parser, short, table

_SETS = ("retrieval_emanual_s10", "retrieval_claude_docs", "retrieval_squad2_a")
_TOP = 5
# Their articles have headings that say what stands below: all of these words or more.
_HEADED_SETS = ("kb_arduino_help",)
_HEADING_WORDS = 4
_HOLDS_TERMS = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """A question; `gold` has texts one of which an answer should hold, none when unanswerable.

    `section`: the heading under which the answer stands, when that is what is known.
    """

    text: str
    gold: tuple[str, ...]
    whole: str
    documents: frozenset[str]
    section: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """What became of a question; `kind` is answerable, unanswerable, removed or other.

    `features` and `right` have one entry for each candidate, best first; `support` is the best's.
    """

    kind: str
    asked: Asked
    features: list[dict[str, float]]
    right: list[bool]
    support: float
    text: str
    text_right: bool


class Knowledge:
    """A set's passages as retrieval gives them."""

    def __init__(self, evaluated: EvalSet, tokens: TokenCounter, cache: VectorCache) -> None:
        self.name = evaluated.name
        self.index = MemoryIndex.of(evaluated, tokens, cache)
        self.passages = [*_passages(evaluated, tokens)]
        self._cache = cache
        self._weights = load_index_weights()

    def search(self, text: str, without: str = "") -> tuple[Passage, ...]:
        """The fused top 5."""
        return self.look_up(text, without)[0]

    def look_up(self, text: str, without: str = "") -> tuple[tuple[Passage, ...], float]:
        """The fused top 5 with their scores, and how likely they answer."""
        query = Query(text, self._cache.embed([text])[0])
        candidates, facts = self.index.candidates(query, without)
        found = ranking.rank(candidates, facts, self._weights.fusion)
        texts = {no: self.index.chunks[no].embedded for no in facts.matched}
        likely = relevance.probability(found, facts, texts, self._weights.relevance)
        best = sorted(found, key=lambda item: (-item.fused, item.candidate.chunk_no))[:_TOP]
        numbered = [(self.passages[item.candidate.chunk_no], item.fused) for item in best]
        return tuple(replace(passage, score=score) for passage, score in numbered), likely


def main() -> None:
    """Prints the tables; with --fit also what the weights would be."""
    arguments = parser("Measures the extractive answers on labelled sets.")
    arguments.add_argument("--fit", action="store_true", help="print fitted weights")
    options = arguments.parse_args()
    cache = VectorCache(options.cache)
    tokens = TokenCounter(tokenizer_path(None))
    names = tuple(dict.fromkeys((*_SETS, *_HEADED_SETS)))
    known = {one.name: Knowledge(one, tokens, cache) for one in available(options.data, names)}
    cases: dict[str, list[Case]] = {}
    sets = [known[name] for name in _SETS if name in known]
    for number, one in enumerate(sets):
        other = sets[(number + 1) % len(sets)]
        asked = [*asked_of(options.data / f"{one.name}.tar.gz", options.queries)]
        cases[one.name] = [*_cases(one, other, asked, cache)]
    for name in (name for name in _HEADED_SETS if name in known):
        asked = headings_of(known[name], options.queries)
        cases[f"{name} headings"] = [*_cases(known[name], None, asked, cache)]
    print_table(cases)
    if options.fit:
        print_fit({name: _to_fit(found) for name, found in cases.items()})


def print_table(cases: dict[str, list[Case]]) -> None:
    """A row for each set."""
    least = load_weights().least_support
    header = ["set", "questions", "best unit right", "answered", "of these right", "recall"]
    header += ["chars"]
    header += [f"{kind} answered" for kind in ("unanswerable", "removed", "other")] + ["AUROC"]
    rows: list[list[str]] = []
    for name, found in cases.items():
        mine = [case for case in found if case.kind == "answerable"]
        answered = [case for case in mine if case.text]
        row = [short(name), f"{len(mine)}", _share([_best_right(case) for case in mine])]
        row += [_share([bool(case.text) for case in mine])]
        row += [_share([case.text_right for case in answered])]
        row += [_mean([_recall(case.text, case.asked) for case in answered])]
        row += [f"{np.mean([len(case.text) for case in answered]):.0f}"]
        for kind in ("unanswerable", "removed", "other"):
            row.append(_share([bool(case.text) for case in found if case.kind == kind]))
        right = [case.support for case in mine if _best_right(case)]
        row.append(f"{auroc(right, [c.support for c in found if c.kind != 'answerable']):.3f}")
        rows.append(row)
    print(table(header, rows))
    print(f"\nsupport below {least} is no answer\n")


def _to_fit(cases: Sequence[Case]) -> list[FitCase]:
    return [FitCase(case.features, case.right) for case in cases if case.features]


def _cases(
    known: Knowledge, other: Knowledge | None, asked: Sequence[Asked], cache: VectorCache
) -> Iterator[Case]:
    for one in asked:
        kind = "answerable" if one.gold else "unanswerable"
        yield case_of(kind, one, known.search(one.text), cache)
        if one.gold and len(one.documents) == 1:
            without = known.search(one.text, next(iter(one.documents)))
            yield case_of("removed", one, without, cache)
        if other is not None:
            yield case_of("other", one, other.search(one.text), cache)


def case_of(kind: str, asked: Asked, passages: tuple[Passage, ...], cache: VectorCache) -> Case:
    weights = load_weights()
    question = Question("extractive", "", (), passages, asked.text, 1024, 0, False)
    prepared = prepare(question)
    if not prepared.candidates:
        return Case(kind, asked, [], [], 0.0, "", False)
    vectors = _all_vectors(prepared, cache)
    ranked = rank(prepared.query, prepared.candidates, vectors, weights)
    parts = compose_answer(question, prepared, _chosen(prepared, cache), weights)
    features = [all_features(prepared.query, o.candidate, o.vector, vectors) for o in ranked]
    right = [kind == "answerable" and _unit_right(one.candidate, asked) for one in ranked]
    text = "".join(part.glue + part.unit.text for part in parts)
    text_right = any(
        _unit_right(one.candidate, asked)
        for one in ranked
        if any(part.unit is one.candidate.unit for part in parts)
    )
    if not asked.section:
        text_right = _right(text, asked)
    return Case(kind, asked, features, right, ranked[0].support, text, text_right)


def _all_vectors(prepared: Prepared, cache: VectorCache) -> Vectors:
    question = cache.embed([prepared.asked])[0]
    units = cache.embed([candidate.unit.text for candidate in prepared.candidates])
    headings = [h for h in {candidate.heading for candidate in prepared.candidates} if h]
    return Vectors(question, [*units], dict(zip(headings, cache.embed(headings), strict=True)))


def _chosen(prepared: Prepared, cache: VectorCache) -> list[Ranked]:
    """The candidates that count, as the service finds them."""
    steps = prepared.choosing(load_weights())
    texts = next(steps)
    while True:
        try:
            texts = steps.send([*cache.embed(texts)])
        except StopIteration as end:
            return end.value


def headings_of(known: Knowledge, most: int) -> list[Asked]:
    """Headings that stand in one place only, as the questions that their sections answer."""
    sections = {
        (passage.document_id, passage.heading_path[-1]): passage
        for passage in known.passages
        if passage.heading_path and len(passage.heading_path[-1].split()) >= _HEADING_WORDS
    }
    places = Counter(heading for _, heading in sections)
    unique = [place for place in sections if places[place[1]] == 1]
    random.Random(5).shuffle(unique)
    return [
        Asked(heading, (heading,), "", frozenset([document]), heading)
        for document, heading in unique[:most]
    ]


def _unit_right(candidate: Candidate, asked: Asked) -> bool:
    if asked.section:
        place = (candidate.passage.document_id, candidate.heading)
        return place == (next(iter(asked.documents)), asked.section)
    return _right(candidate.unit.text, asked)


def asked_of(archive: Path, most: int) -> Iterator[Asked]:
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
    return bool(case.right) and case.right[0]


def _recall(text: str, asked: Asked) -> float:
    if not asked.whole:
        return float(bool(asked.section) or _right(text, asked))
    wanted = set(terms(asked.whole))
    return len(wanted & set(terms(text))) / max(1, len(wanted))


def _share(found: Sequence[bool]) -> str:
    return f"{np.mean(found):.2f}" if found else ""


def _mean(found: Sequence[float]) -> str:
    return f"{np.mean(found):.2f}" if found else ""


if __name__ == "__main__":
    sys.exit(main())
