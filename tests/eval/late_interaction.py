"""What reranking by stored token vectors gains, and what making them small loses.

`python -m tests.eval.late_interaction` prints it; with `--fit` it first fits the two tables of
`llm_gateway.minilm`, projection and rarity, to the sets that are there.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from llm_gateway.minilm import token_vectors as tv
from llm_gateway.minilm.artifact import ensure, weights_folder
from llm_gateway.minilm.encoder import Encoder
from retrieval.evaluation.measures import MEASURES
from retrieval.index import ranking
from retrieval.index.ranking import Ranked
from retrieval.index.reranking import DEPTH, combined
from retrieval.index.weights import load_weights

from .workbench import Workbench, open_workbench, parser, short, table

_WEIGHTS = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
_FORMS = ("whole", "stored")
_SAMPLE = 700
_VOCABULARY = 30_522


@dataclass(frozen=True, slots=True)
class Case:
    """A question's fused order, and each passage's score by the form of its token vectors."""

    ranked: list[Ranked]
    documents: Mapping[int, str]
    grades: Mapping[str, float]
    scores: Mapping[str, Mapping[int, float]]


class Tokens:
    """Token vectors of passages by form, kept; `stored` is what ingest keeps."""

    def __init__(self, folder: Path) -> None:
        self._encoder = Encoder(ensure(weights_folder(None), folder / "models", "int8"))
        self._kept: dict[str, dict[str, tv.Matrix]] = {}
        self.stored_bytes: list[int] = []

    def raw(self, text: str) -> tuple[list[int], tv.Matrix]:
        """Ids and vectors of all tokens of a text."""
        windows = self._encoder.window(text, 0).windows
        parts = [self._encoder.tokens(text, index) for index in range(windows)]
        return [i for ids, _ in parts for i in ids], np.concatenate([v for _, v in parts])

    def passage(self, text: str) -> dict[str, tv.Matrix]:
        """The passage's vectors by form."""
        if text not in self._kept:
            packed = tv.of_passage(vectors := self.raw(text)[1])
            self.stored_bytes.append(len(packed))
            self._kept[text] = {"whole": unit(vectors), "stored": tv.unpack(packed)}
        return self._kept[text]

    def query(self, text: str) -> dict[str, tv.Matrix]:
        """The query's vectors by form, each as long as its share."""
        ids, vectors = self.raw(text)
        ids, vectors = (ids[1:-1], vectors[1:-1]) if len(ids) > 2 else (ids, vectors)
        counts = tv.rarity()[np.asarray(ids)]
        shares = counts / max(float(counts.sum()), 1e-9)
        stored = tv.unpack_query(tv.of_query(vectors, ids))
        whole = (unit(vectors) * shares[:, None]).astype(np.float32)
        return {"whole": whole, "stored": stored}


def main() -> None:
    """Prints the tables."""
    arguments = parser("Measures reranking by stored token vectors.")
    arguments.add_argument("--fit", action="store_true", help="fit the tables of minilm first")
    options = arguments.parse_args()
    bench = open_workbench(options)
    tokens = Tokens(options.cache)
    if options.fit:
        fit(bench, tokens)
    cases = {e.name: list(cases_of(bench, e.name, tokens, options.queries)) for e in bench.sets}
    print(f"{np.mean(tokens.stored_bytes):.0f} bytes a passage, of {len(tokens.stored_bytes)}\n")
    for form in _FORMS:
        found = {w: {n: measured(c, form, w) for n, c in cases.items()} for w in _WEIGHTS}
        print_form(form, found)


def cases_of(bench: Workbench, name: str, tokens: Tokens, limit: int) -> list[Case]:
    """The set's questions with the scores of the first passages of each."""
    evaluated = next(e for e in bench.sets if e.name == name)
    index, fusion = bench.indexes[name], load_weights().fusion
    found: list[Case] = []
    for asked, query in bench.asked(evaluated, limit):
        candidates, facts = index.candidates(query, asked.excluded)
        ranked = ranking.rank(candidates, facts, fusion)
        numbers = [item.candidate.chunk_no for item in ranked]
        mine = tokens.query(query.text)
        passages = {no: tokens.passage(index.chunks[no].embedded) for no in numbers[:DEPTH]}
        scores = {
            form: {no: tv.late_interaction(mine[form], p[form]) for no, p in passages.items()}
            for form in _FORMS
        }
        documents = {no: index.chunks[no].document_id for no in numbers}
        found.append(Case(ranked, documents, asked.grades, scores))
    return found


def fitted_weight() -> float:
    """What the service gives the local reranker's scores beside the fused order."""
    raw = (files("retrieval.index") / "rerank_weights.json").read_text("utf-8")
    return json.loads(raw)["weights"]["local/late-interaction"]


def reordered(case: Case, form: str, weight: float) -> list[str]:
    """The documents after reranking with a weight, each at its best passage's place."""
    head = case.ranked[:DEPTH]
    final = combined(head, case.scores[form], weight)
    order = sorted(final, key=lambda no: (-final[no], no))
    order += [item.candidate.chunk_no for item in case.ranked[DEPTH:]]
    return list(dict.fromkeys(case.documents[no] for no in order))


def measured(cases: Sequence[Case], form: str, weight: float) -> dict[str, float]:
    """The mean of each measure after reranking with a weight."""
    values: dict[str, list[float]] = {name: [] for name in MEASURES}
    for case in cases:
        documents = reordered(case, form, weight)
        for name, function in MEASURES.items():
            values[name].append(function(documents, case.grades))
    return {name: float(np.mean(found)) for name, found in values.items()}


def print_form(form: str, found: dict[float, dict[str, dict[str, float]]]) -> None:
    """nDCG@10/P@5 by weight, and with the weight that the other sets would choose."""
    names = list(found[0.0])
    rows: list[list[str]] = []
    for weight, figures in found.items():
        cells = [f"{figures[n]['nDCG@10']:.3f}/{figures[n]['P@5']:.3f}" for n in names]
        mean = np.mean([figures[n]["nDCG@10"] for n in names])
        rows.append([f"{form}, weight {weight:.1f}", *cells, f"{mean:.4f}"])
    chosen: list[str] = []
    gains: list[float] = []
    for name in names:
        others = [n for n in names if n != name]
        best = max(found, key=lambda w: sum(found[w][n]["nDCG@10"] for n in others))
        gains.append(found[best][name]["nDCG@10"] - found[0.0][name]["nDCG@10"])
        chosen.append(f"{gains[-1]:+.4f} ({best:.1f})")
    rows.append(["gain by the others' weight", *chosen, f"{np.mean(gains):+.4f}"])
    print(table(["nDCG@10/P@5", *map(short, names), "average"], rows), end="\n\n")


def fit(bench: Workbench, tokens: Tokens) -> None:
    """Writes the principal directions of passages' tokens, and squared idf of the vocabulary."""
    texts = sorted({c.embedded for index in bench.indexes.values() for c in index.chunks})
    frequencies = np.zeros(_VOCABULARY)
    moment = np.zeros((384, 384))
    every = max(1, len(texts) // _SAMPLE)
    for number, text in enumerate(texts):
        ids, vectors = tokens.raw(text)
        frequencies[np.unique(ids)] += 1
        if number % every == 0:
            moment += unit(vectors).T @ unit(vectors)
    directions = np.linalg.eigh(moment)[1][:, ::-1][:, : tv.DIMENSIONS]
    idf = np.log1p((len(texts) - frequencies + 0.5) / (frequencies + 0.5))
    folder = Path(str(files("llm_gateway.minilm")))
    np.save(folder / "token_projection.npy", directions.astype(np.float16))
    np.save(folder / "token_rarity.npy", (idf**2).astype(np.float16))
    tv.projection.cache_clear()
    tv.rarity.cache_clear()


def unit(vectors: tv.Matrix) -> tv.Matrix:
    """Rows of unit length."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


if __name__ == "__main__":
    main()
