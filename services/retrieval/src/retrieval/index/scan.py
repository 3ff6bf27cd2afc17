"""Scoring all of a tenant's passages in memory: BM25 by lists of terms, vectors by their codes.

A tenant's search reads that tenant's blocks and nothing else, so how long it takes depends on the
size of its own knowledge only. BM25 is exact. The codes (a bit for each component of a vector)
only choose which passages' vectors are compared with the query's in full.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from retrieval.index import bm25, packing
from retrieval.index.decoded import Decoded
from retrieval.index.packing import Codes, Lengths, Slots, Vector, Weights
from retrieval.store.blocks import IndexBlocks
from retrieval.store.rows import IndexStat

Scores = NDArray[np.float32]

# Passages that have all words of an identifier or a quoted phrase are candidates, so many of them.
_TOGETHER = 20
# What a guess at a misspelt word counts beside a word as written.
_GUESSED = 0.7

# Bits of the sign alone choose this many, the query's components weighed by them the next, which
# are compared in full. Measured: see tests/load/README.md.
_BY_BITS = 4_000
COMPARED = 400

_BITS_OF_BYTE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Scanned:
    """Scores of all passages by slot, and the slots that are worth a closer look.

    `lists` has the slots of each term of the query that stands anywhere, without guessed ones;
    `together` are passages that have all terms of something that was asked for to the letter.
    """

    stat: IndexStat
    scores: Scores
    lists: dict[str, Slots]
    by_words: list[int]
    by_codes: list[int]
    together: list[int]
    lengths: Lengths

    @property
    def frequencies(self) -> dict[str, int]:
        """In how many passages each term stands."""
        return {term: len(slots) for term, slots in self.lists.items()}

    def matched(self, slots: Sequence[int]) -> dict[int, frozenset[str]]:
        """Which terms stand in which of these passages."""
        wanted = np.array(sorted(slots), np.int32)
        found: dict[int, set[str]] = {int(slot): set() for slot in wanted}
        for term, has in self.lists.items():
            for slot in np.intersect1d(wanted, has, assume_unique=True):
                found[int(slot)].add(term)
        return {slot: frozenset(terms) for slot, terms in found.items()}


def scan(
    blocks: IndexBlocks,
    decoded: Decoded,
    vector: Vector | None,
    limit: int,
    *,
    groups: Sequence[frozenset[str]] = (),
    guessed: Collection[str] = (),
) -> Scanned:
    """The best `limit` passages by words, and at least as many by codes where there is a vector.

    `groups` are terms that were asked for together, `guessed` terms that were not asked for.
    """
    stat = blocks.stat
    lists = _lists(blocks)
    lengths, codes = decoded.lengths, decoded.codes
    scores = _bm25(lists, lengths.astype(np.float32), stat, guessed)
    by_codes: list[int] = []
    if vector is not None and codes is not None:
        by_codes = nearest(codes, lengths > 0, vector, max(COMPARED, limit))
    return Scanned(
        stat,
        scores,
        {term: slots for term, (slots, _) in lists.items() if term not in guessed},
        best(scores, limit),
        by_codes,
        _together(lists, groups, scores),
        lengths,
    )


def best(scores: Scores, limit: int) -> list[int]:
    """The slots with the highest scores above 0, best first; of equals the first."""
    found = np.flatnonzero(scores > 0)
    if len(found) > limit:
        floor = np.partition(scores[found], len(found) - limit)[len(found) - limit]
        found = found[scores[found] >= floor]
    order = np.argsort(-scores[found], kind="stable")[:limit]
    return [int(slot) for slot in found[order]]


def nearest(codes: Codes, live: NDArray[np.bool_], vector: Vector, limit: int) -> list[int]:
    """The slots whose vectors are probably nearest, in no order."""
    slots = np.flatnonzero(live)
    if len(slots) <= limit:
        return [int(slot) for slot in slots]
    if len(slots) < len(codes):
        codes = codes[slots]
    if len(slots) > max(_BY_BITS, limit):
        near = np.argpartition(_differing_bits(codes, vector), max(_BY_BITS, limit))
        near = near[: max(_BY_BITS, limit)]
        slots, codes = slots[near], codes[near]
    chosen = np.argpartition(-_weighed_bits(codes, vector), limit)[:limit]
    return [int(slot) for slot in slots[chosen]]


def _lists(blocks: IndexBlocks) -> dict[str, tuple[Slots, Weights]]:
    return {
        term: packing.unpack_postings([block.postings for block in group])
        for term, group in groupby(blocks.postings, key=lambda block: block.term)
    }


def _together(
    lists: dict[str, tuple[Slots, Weights]], groups: Sequence[frozenset[str]], scores: Scores
) -> list[int]:
    """The best passages by words that have all terms of a group."""
    chosen: dict[int, None] = {}
    for group in groups:
        if not all(term in lists for term in group):
            continue
        slots = reduce(np.intersect1d, [lists[term][0] for term in group])
        best_first = slots[np.argsort(-scores[slots], kind="stable")]
        chosen |= dict.fromkeys(int(slot) for slot in best_first[:_TOGETHER])
    return list(chosen)[:_TOGETHER]


def _bm25(
    lists: dict[str, tuple[Slots, Weights]],
    lengths: Scores,
    stat: IndexStat,
    guessed: Collection[str],
) -> Scores:
    """See `retrieval.index.bm25`, whose formula this is for all passages at once."""
    mean_length = bm25.CorpusStats(stat.chunk_count, stat.length_sum).mean_length
    scores = np.zeros(stat.slot_count, np.float32)
    for term, (slots, weights) in lists.items():
        rarity = bm25.idf(len(slots), stat.chunk_count) * (_GUESSED if term in guessed else 1.0)
        tempered = bm25.K1 * (1.0 - bm25.B + (bm25.B / mean_length) * lengths[slots])
        scores[slots] += rarity * (bm25.K1 + 1.0) * weights / (weights + tempered)
    return scores


def _differing_bits(codes: Codes, vector: Vector) -> NDArray[np.uint16]:
    """How many bits differ from the query's code, for each row."""
    asked = packing.code_of(vector)
    width = np.uint64 if codes.shape[1] % 8 == 0 else np.uint8
    differing = np.bitwise_count(codes.view(width) ^ asked.view(width))
    total = differing[:, 0].astype(np.uint16)
    for column in range(1, differing.shape[1]):
        total += differing[:, column]
    return total


def _weighed_bits(codes: Codes, vector: Vector) -> Scores:
    """The sum of the components whose bits are set, for each row: a byte is looked up as one."""
    padded = np.zeros(codes.shape[1] * 8, np.float32)
    padded[: vector.size] = vector
    of_byte = padded.reshape(-1, 8) @ _BITS_OF_BYTE.T
    total = np.zeros(len(codes), np.float32)
    for column, sums in zip(np.ascontiguousarray(codes.T), of_byte, strict=True):
        total += sums[column]
    return total


def ranks(slots: Iterable[int]) -> dict[int, int]:
    """The rank of each slot, from 1."""
    return {slot: rank for rank, slot in enumerate(slots, start=1)}
