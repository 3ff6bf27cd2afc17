"""A tenant's index in memory: the service's own parsing, terms and formulas, without PostgreSQL."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from fleetkit.tokens import TokenCounter
from numpy.typing import NDArray
from retrieval.index import bm25
from retrieval.index.exact import asked_exactly
from retrieval.index.ranking import Candidate, QueryFacts, Ranked
from retrieval.index.terms import terms
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.prepare import PrepareOptions, embedded_text, prepare

from .sets import EvalSet
from .vectors import VectorCache

CANDIDATES = 40


@dataclass(frozen=True, slots=True)
class IndexedChunk:
    """A passage: its document, what is embedded of it, its index terms."""

    document_id: str
    embedded: str
    weights: dict[str, float]


@dataclass(frozen=True, slots=True)
class Query:
    """A question with its vector."""

    text: str
    vector: NDArray[np.float32]


def cut(evaluated: EvalSet, tokens: TokenCounter) -> list[IndexedChunk]:
    """All passages of a set, made as ingest makes them; documents without text are left out."""
    chunks: list[IndexedChunk] = []
    for document in evaluated.documents:
        try:
            options = PrepareOptions(title=document.title)
            prepared = prepare(document.text.encode(), options, tokens)
        except DocumentError:
            continue
        for piece in prepared.chunks:
            text = prepared.text[piece.start : piece.end]
            embedded = embedded_text(prepared.title, piece.heading_path, text)
            chunks.append(IndexedChunk(document.document_id, embedded, piece.terms))
    return chunks


class MemoryIndex:
    """Chunks and their vectors, searched as `retrieval.index.search` does it."""

    def __init__(self, chunks: Sequence[IndexedChunk], vectors: NDArray[np.float32]) -> None:
        self.chunks = list(chunks)
        self.vectors = vectors
        lengths = np.array([sum(chunk.weights.values()) for chunk in chunks])
        self._stats = bm25.CorpusStats(len(chunks), float(lengths.sum()))
        self._lengths = lengths
        self._postings = self._build(lengths)

    @classmethod
    def of(cls, evaluated: EvalSet, tokens: TokenCounter, cache: VectorCache) -> "MemoryIndex":
        """The index of a whole set."""
        chunks = cut(evaluated, tokens)
        return cls(chunks, cache.embed([chunk.embedded for chunk in chunks]))

    @property
    def document_ids(self) -> list[str]:
        """The documents, in order."""
        return list(dict.fromkeys(chunk.document_id for chunk in self.chunks))

    def part(self, documents: Collection[str], *, without: bool = False) -> "MemoryIndex":
        """The index of only these documents, or of all but these."""
        kept = [i for i, c in enumerate(self.chunks) if (c.document_id in documents) != without]
        return MemoryIndex([self.chunks[i] for i in kept], self.vectors[kept])

    def candidates(
        self, query: Query, excluded: str = "", *, vectors: bool = True
    ) -> tuple[list[Candidate], QueryFacts]:
        """The best of each ranking, with all scores, and what the query's words tell."""
        unique = tuple(dict.fromkeys(terms(query.text)))[:64]
        words = self._bm25(unique)
        cosines = self.vectors @ query.vector
        out = np.array([chunk.document_id == excluded for chunk in self.chunks], dtype=bool)
        by_words = _best(np.where(out, 0.0, words), floor=0.0)
        by_vectors = _best(np.where(out, -2.0, cosines), floor=-1.5) if vectors else []
        numbers = list(dict.fromkeys([*by_words, *by_vectors]))
        exactly = asked_exactly(query.text)
        texts = {no: self.chunks[no].embedded.lower() for no in numbers}
        found = [
            Candidate(
                chunk_no=no,
                cosine=float(cosines[no]) if vectors else None,
                bm25=float(words[no]),
                dense_rank=by_vectors.index(no) + 1 if no in by_vectors else None,
                bm25_rank=by_words.index(no) + 1 if no in by_words else None,
                length=float(self._lengths[no]),
                keyword=exactly.found(texts[no]),
                adjacent=exactly.adjacent(texts[no]),
            )
            for no in numbers
        ]
        return found, self._facts(query.text, unique, numbers)

    def documents(self, ranked: Sequence[Ranked]) -> list[str]:
        """The documents of ranked passages, each at its best passage's place."""
        order = (self.chunks[item.candidate.chunk_no].document_id for item in ranked)
        return list(dict.fromkeys(order))

    def _facts(self, text: str, unique: tuple[str, ...], numbers: Sequence[int]) -> QueryFacts:
        known = {t: len(self._postings[t][0]) for t in unique if t in self._postings}
        matched = {
            no: frozenset(t for t in unique if t in self.chunks[no].weights) for no in numbers
        }
        return QueryFacts(unique, known, len(self.chunks), matched, text=text)

    def _bm25(self, unique: Sequence[str]) -> NDArray[np.float64]:
        scores = np.zeros(len(self.chunks))
        for term in unique:
            if term in self._postings:
                numbers, parts = self._postings[term]
                scores[numbers] += bm25.idf(len(numbers), len(self.chunks)) * parts
        return scores

    def _build(
        self, lengths: NDArray[np.float64]
    ) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        lists: dict[str, list[tuple[int, float]]] = {}
        for number, chunk in enumerate(self.chunks):
            for term, weight in chunk.weights.items():
                part = bm25.term_score(weight, float(lengths[number]), self._stats.mean_length)
                lists.setdefault(term, []).append((number, part))
        return {
            term: (np.array([n for n, _ in pairs]), np.array([p for _, p in pairs]))
            for term, pairs in lists.items()
        }


def _best(scores: NDArray[np.float64], floor: float) -> list[int]:
    order = np.argsort(-scores, kind="stable")[:CANDIDATES]
    return [int(number) for number in order if scores[number] > floor]
