"""The ways to order what a search found, from words alone to reranked."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from retrieval.index.ranking import Ranked
from retrieval.store.rows import PassageRow

ARMS = ("bm25", "dense", "fused", "reranked")
DEPTH = 10
# What an agent gets to read: a question is missed when none of its documents is so high.
SEEN = 5


def by_words(ranked: Iterable[Ranked]) -> list[Ranked]:
    """Those that share a word with the query, by BM25."""
    found = [item for item in ranked if item.candidate.bm25 > 0]
    return sorted(found, key=lambda item: (-item.candidate.bm25, item.candidate.chunk_no))


def by_vectors(ranked: Iterable[Ranked]) -> list[Ranked]:
    """By cosine."""
    return sorted(
        ranked, key=lambda item: (-(item.candidate.cosine or 0.0), item.candidate.chunk_no)
    )


def documents(ranked: Iterable[Ranked], passages: Mapping[int, PassageRow]) -> list[UUID]:
    """The first documents, each at its best passage's place."""
    order = dict.fromkeys(passages[item.candidate.chunk_no].document_id for item in ranked)
    return list(order)[:DEPTH]
