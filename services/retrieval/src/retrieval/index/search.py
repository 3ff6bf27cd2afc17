"""Search: candidates from BM25 and from vectors, fused, with the probability that they answer."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from fleetkit.errors import InvalidArgument, Unavailable
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection
from pgvector import Vector

from retrieval.index import ranking, relevance, spelling
from retrieval.index.decoded import Decoded, DecodedIndexes, decode
from retrieval.index.embedding import Embedded
from retrieval.index.exact import Exactly, asked_exactly, groups_of
from retrieval.index.languages import ENGLISH
from retrieval.index.query_vectors import QueryVectors, as_search
from retrieval.index.ranking import Candidate, Ranked
from retrieval.index.reranking import DEPTH, Reordered, Reranker
from retrieval.index.scan import Scanned, ranks, scan
from retrieval.index.terms import variants
from retrieval.index.weights import FusionWeights, Weights
from retrieval.parsing.prepare import embedded_text
from retrieval.store import blocks as block_store
from retrieval.store import chunks as chunk_store
from retrieval.store import search as store
from retrieval.store.blocks import IndexBlocks
from retrieval.store.rows import PassageRow

MAX_QUERY_BYTES = 16_000
MAX_TOP_K = 50
_DEFAULT_TOP_K = 5
# Of a very long query the first distinct terms count; the list of each is read.
_MAX_TERMS = 64
_INLINE_CHARS = 500
# Larger knowledge is looked through in a thread: it takes a millisecond and more.
_INLINE_SLOTS = 4_000
# A search begins anew when the index goes over to another model meanwhile.
_MOST_SWITCHES = 3
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found, with the scores of each stage; `fused_rank` from 1, before reranking."""

    passage: PassageRow
    ranked: Ranked
    fused_rank: int


@dataclass(frozen=True, slots=True)
class Found:
    """Passages, best first, and how likely (0–1) they answer the query.

    `reordered` is what reranking made of the order, None when it was not asked for.
    `vector_reason`: why the query had no vector, "" when it had one or needed none.
    """

    hits: list[Hit]
    relevance: float
    knowledge_version: int
    reordered: Reordered | None = None
    vector_reason: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """A search done otherwise than usual: by another fusion, or always or never reranked."""

    fusion: FusionWeights | None
    reranker: Reranker | None
    no_reranking: bool


_USUAL = Variant(None, None, no_reranking=False)


@dataclass(frozen=True, slots=True)
class Fused:
    """All candidates of a query in the fused order, with their passages by chunk_no.

    `embedding_model` is "" when the query had no vector, `vector_reason` the error why.
    """

    ranked: list[Ranked]
    passages: dict[int, PassageRow]
    relevance: float
    knowledge_version: int
    embedding_model: str
    vector_reason: str = ""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query as the tenant's languages read it; `variants` are each of its terms' forms."""

    query: str
    languages: tuple[str, ...]
    variants: tuple[tuple[str, ...], ...]
    exactly: Exactly

    @property
    def forms(self) -> tuple[str, ...]:
        """All that lists are read for."""
        return tuple(dict.fromkeys(form for forms in self.variants for form in forms))

    def terms(self, known: Collection[str]) -> tuple[str, ...]:
        """Of each term the forms that stand anywhere, or the first of those that stand nowhere."""
        found = (tuple(f for f in forms if f in known) or forms[:1] for forms in self.variants)
        return tuple(dict.fromkeys(form for forms in found for form in forms))


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was read; `guessed` are terms that misspelt words probably mean."""

    blocks: IndexBlocks
    decoded: Decoded
    guessed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Gathered:
    """All of one state of the index, whose `model` also embedded the query; see `Fused`."""

    asked: _Asked
    scanned: Scanned
    candidates: list[Candidate]
    passages: dict[int, PassageRow]
    model: str
    vector_reason: str


class Searcher:
    """Searches a tenant's passages; `candidates` are taken from each ranking."""

    def __init__(
        self,
        db: Database,
        vectors: QueryVectors,
        weights: Weights,
        reranker: Reranker,
        *,
        candidates: int,
        kept_bytes: int = 0,
    ) -> None:
        self._db = db
        self._vectors = vectors
        self._weights = weights
        self._reranker = reranker
        self._candidates = candidates
        self._decoded = DecodedIndexes(kept_bytes)
        # Of tenants' last searches: what a query is read by before the index is.
        self._languages: dict[UUID, tuple[str, ...]] = {}

    @property
    def fusion_version(self) -> str:
        """The version of the weights of fusion and relevance."""
        return self._weights.version

    async def search(
        self,
        tenant_id: UUID,
        query: str,
        top_k: int,
        *,
        rerank: bool = False,
        variant: Variant | None = None,
    ) -> Found:
        """The best `top_k` passages (0 means 5) for the query, reranked where asked.

        When the query's vector can't be had in time the result rests on BM25 alone, and no
        candidate has a cosine. InvalidArgument for an empty or over-long query.
        """
        top_k = _checked(query, top_k)
        way = variant or _USUAL
        fused = await self.fused(tenant_id, query, top_k, way.fusion)
        ranked, reordered = fused.ranked, None
        reranks = (rerank or way.reranker is not None) and not way.no_reranking
        if reranks and ranked:
            with as_search():
                reordered = await (way.reranker or self._reranker).reorder(
                    tenant_id, query, ranked, fused.passages, max(DEPTH, top_k)
                )
            ranked = reordered.ranked
        places = {item.candidate.chunk_no: n for n, item in enumerate(fused.ranked, start=1)}
        numbers = [item.candidate.chunk_no for item in ranked[:top_k]]
        hits = [
            Hit(fused.passages[number], item, places[number])
            for number, item in zip(numbers, ranked, strict=False)
        ]
        return Found(hits, fused.relevance, fused.knowledge_version, reordered, fused.vector_reason)

    async def fused(
        self, tenant_id: UUID, query: str, top_k: int, fusion: FusionWeights | None = None
    ) -> Fused:
        """All candidates, of each ranking at least `top_k`, fused; none where nothing was found."""
        found = await self._gathered(tenant_id, query, max(self._candidates, top_k))
        version = found.scanned.stat.knowledge_version
        if not found.candidates:
            return Fused([], {}, 0.0, version, found.model, found.vector_reason)
        facts = _facts(found.asked, found.scanned, found.passages)
        ranked = ranking.rank(found.candidates, facts, fusion or self._weights.fusion)
        texts = {no: _searched_text(found.passages[no]) for no in facts.matched}
        probability = relevance.probability(ranked, facts, texts, self._weights.relevance)
        return Fused(ranked, found.passages, probability, version, found.model, found.vector_reason)

    async def _gathered(self, tenant_id: UUID, query: str, limit: int) -> _Gathered:
        embedding = asyncio.create_task(self._vectors.ahead(tenant_id, query))
        try:
            asked = await _asked(query, self._languages.get(tenant_id, (ENGLISH,)))
            async with self._db.snapshot(tenant_id) as conn:
                asked, looked = await self._read(conn, tenant_id, asked)
            made = await embedding
        finally:
            embedding.cancel()
        for _ in range(_MOST_SWITCHES):
            stat = looked.blocks.stat
            made = await self._vectors.fitting(tenant_id, query, made, stat.model)
            embedded = await self._vectors.comparable(tenant_id, made, stat)
            scanned = await _scanned(looked, asked, embedded, limit)
            async with self._db.snapshot(tenant_id) as conn:
                now = await chunk_store.get_stat(conn, tenant_id)
                if now != stat:
                    asked, looked = await self._read(conn, tenant_id, asked)
                    if now.model != stat.model:
                        continue
                    scanned = await _scanned(looked, asked, embedded, limit)
                candidates, passages = await _candidates(
                    conn, tenant_id, asked, embedded, scanned, limit
                )
                model = embedded.model if embedded else ""
                return _Gathered(asked, scanned, candidates, passages, model, made.reason)
        raise Unavailable("the embedding model keeps changing: search again", retry_after_s=1.0)

    async def _read(
        self, conn: FleetConnection, tenant_id: UUID, asked: _Asked
    ) -> tuple[_Asked, _Looked]:
        """Reads again when the query was read in other languages than the index has."""
        looked = await _read(conn, tenant_id, asked, self._decoded)
        languages = tuple(looked.blocks.stat.languages) or (ENGLISH,)
        if languages != asked.languages:
            if len(self._languages) >= _MOST_REMEMBERED:
                self._languages.clear()
            self._languages[tenant_id] = languages
            asked = await _asked(asked.query, languages)
            looked = await _read(conn, tenant_id, asked, self._decoded)
        return asked, looked


async def _read(
    conn: FleetConnection, tenant_id: UUID, asked: _Asked, kept: DecodedIndexes
) -> _Looked:
    """What the query needs of the index, also the terms that its misspelt words may mean."""
    known = kept.get(tenant_id)
    blocks = await block_store.read(
        conn, tenant_id, asked.forms, -1 if known is None else known.version
    )
    if known is not None and known.version == blocks.stat.knowledge_version:
        decoded = known
    elif blocks.stat.slot_count <= _INLINE_SLOTS:
        decoded = decode(blocks)
    else:
        decoded = await asyncio.to_thread(decode, blocks)
    kept.keep(tenant_id, decoded)
    known = {block.term for block in blocks.postings}
    if not blocks.stat.chunk_count or len(asked.query) > _INLINE_CHARS:
        return _Looked(blocks, decoded, ())
    guessed = await spelling.guesses(conn, tenant_id, asked.query, known, asked.languages)
    guessed = [term for term in guessed if term not in known]
    if guessed:
        more = await block_store.posting_blocks(conn, tenant_id, guessed)
        blocks = replace(blocks, postings=[*blocks.postings, *more])
    return _Looked(blocks, decoded, tuple(guessed))


async def _scanned(
    looked: _Looked, asked: _Asked, embedded: Embedded | None, limit: int
) -> Scanned:
    vector = None if embedded is None else Vector.from_text(embedded.vectors[0]).to_numpy()
    look = partial(
        scan,
        looked.blocks,
        looked.decoded,
        vector,
        limit,
        groups=groups_of(asked.exactly.strings, asked.languages),
        guessed=looked.guessed,
    )
    if looked.blocks.stat.slot_count <= _INLINE_SLOTS:
        return look()
    return await asyncio.to_thread(look)


async def _candidates(
    conn: FleetConnection,
    tenant_id: UUID,
    asked: _Asked,
    embedded: Embedded | None,
    scanned: Scanned,
    limit: int,
) -> tuple[list[Candidate], dict[int, PassageRow]]:
    """The best `limit` of each ranking with both scores, and their passages by chunk_no."""
    by_words = list(dict.fromkeys([*scanned.by_words, *scanned.together]))
    cosines: dict[int, float] = {}
    if embedded is not None:
        wanted = list({*by_words, *scanned.by_codes})
        (vector,) = embedded.vectors
        found = await store.cosines(conn, tenant_id, embedded.model, vector, wanted)
        cosines = dict(found)
    by_vectors = sorted(cosines, key=lambda slot: (-cosines[slot], slot))[:limit]
    dense_ranks, lexical_ranks = ranks(by_vectors), ranks(scanned.by_words)
    rows = await store.passages(conn, tenant_id, list({*by_words, *by_vectors}))
    texts = {row.slot: _searched_text(row).lower() for row in rows}
    candidates = [
        Candidate(
            chunk_no=row.chunk_no,
            cosine=cosines.get(row.slot),
            bm25=float(scanned.scores[row.slot]),
            dense_rank=dense_ranks.get(row.slot),
            bm25_rank=lexical_ranks.get(row.slot),
            length=float(scanned.lengths[row.slot]),
            keyword=asked.exactly.found(texts[row.slot]),
            adjacent=asked.exactly.adjacent(texts[row.slot]),
        )
        for row in rows
    ]
    return candidates, {row.chunk_no: row for row in rows}


def _searched_text(row: PassageRow) -> str:
    """Title, headings and text."""
    return embedded_text(row.title, tuple(row.heading_path), row.text)


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


async def _asked(query: str, languages: tuple[str, ...]) -> _Asked:
    long = len(query) > _INLINE_CHARS
    found = (
        await asyncio.to_thread(variants, query, languages) if long else variants(query, languages)
    )
    return _Asked(
        query,
        languages,
        tuple(dict.fromkeys(found))[:_MAX_TERMS],
        asked_exactly(query, languages),
    )


def _facts(asked: _Asked, scanned: Scanned, passages: dict[int, PassageRow]) -> ranking.QueryFacts:
    matched = scanned.matched([row.slot for row in passages.values()])
    return ranking.QueryFacts(
        terms=asked.terms(scanned.lists),
        frequencies=scanned.frequencies,
        chunk_count=scanned.stat.chunk_count,
        matched={no: matched[row.slot] for no, row in passages.items()},
        languages=asked.languages,
        text=asked.query,
    )
