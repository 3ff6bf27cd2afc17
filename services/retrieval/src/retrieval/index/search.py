"""Search: candidates from BM25 and from vectors, fused, with the probability that they answer."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from uuid import UUID

from fleetkit import context
from fleetkit.errors import FleetError, InvalidArgument
from fleetkit.logging import get_logger
from fleetkit.postgres import Database

from retrieval.index import bm25, ranking, relevance
from retrieval.index.embedding import Embedded, Embedder
from retrieval.index.ranking import Candidate, Ranked
from retrieval.index.terms import terms
from retrieval.index.weights import Weights
from retrieval.store import chunks as chunk_store
from retrieval.store import search as store
from retrieval.store.rows import DenseHit, IndexStat, LexicalHit, PassageRow, PostingRow

MAX_QUERY_BYTES = 16_000
MAX_TOP_K = 50
_DEFAULT_TOP_K = 5
# Of a very long query the first distinct terms count; each costs an index scan.
_MAX_TERMS = 64
_INLINE_CHARS = 500
# The next attempt sees the new passages.
_ATTEMPTS = 3
_LARGE = 2_000
_COMMON_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found, with the scores of each stage."""

    passage: PassageRow
    ranked: Ranked


@dataclass(frozen=True, slots=True)
class Found:
    """Passages, best first, and how likely (0–1) they answer the query."""

    hits: list[Hit]
    relevance: float
    knowledge_version: int


@dataclass(frozen=True, slots=True)
class _Lexical:
    stat: IndexStat
    terms: tuple[str, ...]
    frequencies: dict[str, int]
    hits: list[LexicalHit]

    @property
    def corpus(self) -> bm25.CorpusStats:
        return bm25.CorpusStats(self.stat.chunk_count, self.stat.length_sum)


@dataclass(frozen=True, slots=True)
class _Dense:
    model: str
    vector: str
    hits: list[DenseHit]


class _Vanished(Exception):
    """A document was replaced or deleted between the statements of a search."""


class Searcher:
    """Searches a tenant's passages; `candidates` are taken from each ranking."""

    def __init__(
        self, db: Database, embedder: Embedder, weights: Weights, *, candidates: int
    ) -> None:
        self._db = db
        self._embedder = embedder
        self._weights = weights
        self._candidates = candidates

    async def search(self, tenant_id: UUID, query: str, top_k: int) -> Found:
        """The best `top_k` passages (0 means 5) for the query.

        When the query's vector can't be had in time the result rests on BM25 alone, and no
        candidate has a cosine. InvalidArgument for an empty or over-long query.
        """
        top_k = _checked(query, top_k)
        asked = await _distinct_terms(query)
        embedding = asyncio.create_task(self._embedded(query))
        try:
            for _ in range(_ATTEMPTS - 1):
                try:
                    return await self._search(tenant_id, asked, embedding, top_k, whole=True)
                except _Vanished:
                    continue
            return await self._search(tenant_id, asked, embedding, top_k, whole=False)
        finally:
            embedding.cancel()

    async def _search(
        self,
        tenant_id: UUID,
        asked: tuple[str, ...],
        embedding: asyncio.Task[Embedded | None],
        top_k: int,
        *,
        whole: bool,
    ) -> Found:
        """One attempt; with `whole` it raises _Vanished when a passage found was replaced since."""
        lexical, dense = await asyncio.gather(
            self._lexical(tenant_id, asked), self._dense(tenant_id, embedding)
        )
        if not lexical.hits and (dense is None or not dense.hits):
            return Found([], 0.0, lexical.stat.knowledge_version)
        candidates, postings = await self._complete(tenant_id, lexical, dense)
        facts = _facts(lexical, candidates, postings)
        ranked = ranking.rank(candidates, self._weights.fusion)
        hits = await self._hits(tenant_id, ranked[:top_k])
        if whole and len(hits) < min(top_k, len(ranked)):
            raise _Vanished
        probability = relevance.probability(ranked, facts, self._weights.relevance)
        return Found(hits, probability, lexical.stat.knowledge_version)

    async def _lexical(self, tenant_id: UUID, asked: tuple[str, ...]) -> _Lexical:
        async with self._db.tenant(tenant_id) as conn:
            stat = await chunk_store.get_stat(conn, tenant_id)
            known = await store.frequencies(conn, tenant_id, asked)
            rarities = {
                term: bm25.idf(known[term], stat.chunk_count)
                for term in _telling(known, stat.chunk_count, self._candidates)
            }
            mean_length = bm25.CorpusStats(stat.chunk_count, stat.length_sum).mean_length
            hits = await store.lexical_hits(
                conn, tenant_id, rarities, mean_length, self._candidates
            )
        return _Lexical(stat, asked, known, hits)

    async def _embedded(self, query: str) -> Embedded | None:
        """None when there is no vector: a search without it is worth more than none."""
        try:
            with _as_search():
                return await self._embedder.query(query)
        except FleetError as error:
            get_logger().warning("search_without_vector", reason=error.reason)
            return None

    async def _dense(
        self, tenant_id: UUID, embedding: asyncio.Task[Embedded | None]
    ) -> _Dense | None:
        embedded = await embedding
        if embedded is None:
            return None
        (vector,) = embedded.vectors
        async with self._db.tenant(tenant_id) as conn:
            hits = await store.dense_hits(conn, tenant_id, embedded.model, vector, self._candidates)
        return _Dense(embedded.model, vector, hits)

    async def _complete(
        self, tenant_id: UUID, lexical: _Lexical, dense: _Dense | None
    ) -> tuple[list[Candidate], dict[int, list[PostingRow]]]:
        """Candidates of both rankings, each with both scores, and the query's terms in them."""
        found = [hit.chunk_no for hit in lexical.hits]
        cosines = {hit.chunk_no: hit.cosine for hit in dense.hits} if dense else {}
        chunk_nos = list(dict.fromkeys([*found, *cosines]))
        async with self._db.tenant(tenant_id) as conn:
            if dense is not None and (rest := [no for no in found if no not in cosines]):
                cosines |= await store.cosines(conn, tenant_id, dense.model, dense.vector, rest)
            rows = await store.postings(conn, tenant_id, lexical.terms, chunk_nos)
        postings: dict[int, list[PostingRow]] = {}
        for row in rows:
            postings.setdefault(row.chunk_no, []).append(row)
        scores = {no: _bm25(postings.get(no, ()), lexical) for no in chunk_nos}
        dense_ranks = _ranks(hit.chunk_no for hit in dense.hits) if dense else {}
        lexical_ranks = _ranks(sorted(found, key=lambda no: (-scores[no], no)))
        candidates = [
            Candidate(
                chunk_no=no,
                cosine=cosines.get(no),
                bm25=scores[no],
                dense_rank=dense_ranks.get(no),
                bm25_rank=lexical_ranks.get(no),
            )
            for no in chunk_nos
        ]
        return candidates, postings

    async def _hits(self, tenant_id: UUID, ranked: Sequence[Ranked]) -> list[Hit]:
        """Chunks that vanished since they were found are left out."""
        async with self._db.tenant(tenant_id) as conn:
            rows = await store.passages(
                conn, tenant_id, [item.candidate.chunk_no for item in ranked]
            )
        by_number = {row.chunk_no: row for row in rows}
        return [
            Hit(by_number[item.candidate.chunk_no], item)
            for item in ranked
            if item.candidate.chunk_no in by_number
        ]


def _checked(query: str, top_k: int) -> int:
    size = len(query.encode())
    if size > MAX_QUERY_BYTES:
        raise InvalidArgument(
            f"query has {size:,} bytes; at most {MAX_QUERY_BYTES:,} are allowed", field="query"
        )
    if not query.strip():
        raise InvalidArgument("query is empty", field="query")
    if not 0 <= top_k <= MAX_TOP_K:
        raise InvalidArgument(f"top_k is 1 to {MAX_TOP_K}", field="top_k")
    return top_k or _DEFAULT_TOP_K


async def _distinct_terms(query: str) -> tuple[str, ...]:
    long = len(query) > _INLINE_CHARS
    words = await asyncio.to_thread(terms, query) if long else terms(query)
    return tuple(dict.fromkeys(words))[:_MAX_TERMS]


def _as_search():  # noqa: ANN202
    """The attribution of the caller where it has a purpose (a turn); else it is a search."""
    attribution = context.current().attribution
    if attribution.purpose:
        return nullcontext()
    return context.attributed(replace(attribution, purpose="search"))


def _ranks(chunk_nos: Iterable[int]) -> dict[int, int]:
    return {chunk_no: rank for rank, chunk_no in enumerate(chunk_nos, start=1)}


def _telling(known: dict[str, int], chunk_count: int, wanted: int) -> list[str]:
    """The terms by which candidates are looked for.

    Of large knowledge a term that a quarter of the passages have costs most of the scan and tells
    almost nothing; it still counts in the candidates' scores.
    """
    if chunk_count < _LARGE:
        return list(known)
    rare = [term for term, count in known.items() if count <= chunk_count * _COMMON_SHARE]
    return rare if sum(known[term] for term in rare) >= wanted else list(known)


def _bm25(postings: Sequence[PostingRow], lexical: _Lexical) -> float:
    corpus = lexical.corpus
    return sum(
        bm25.idf(lexical.frequencies.get(row.term, 1), corpus.chunk_count)
        * bm25.term_score(row.weight, row.length, corpus.mean_length)
        for row in postings
    )


def _facts(
    lexical: _Lexical,
    candidates: Sequence[Candidate],
    postings: dict[int, list[PostingRow]],
) -> ranking.QueryFacts:
    return ranking.QueryFacts(
        terms=lexical.terms,
        frequencies=lexical.frequencies,
        chunk_count=lexical.stat.chunk_count,
        matched={
            c.chunk_no: frozenset(row.term for row in postings.get(c.chunk_no, ()))
            for c in candidates
        },
    )
