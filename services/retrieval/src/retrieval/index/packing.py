"""How the index is packed into blocks, see `migrations/0010_packed_index.sql`.

A slot is a passage's number within its tenant: arrays by slot are small and dense, so that a
search of 100,000 passages is a few passes over arrays.
"""

import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Slots = NDArray[np.int32]
Weights = NDArray[np.uint8]
Lengths = NDArray[np.uint16]
Codes = NDArray[np.uint8]
Vector = NDArray[np.float32]

# Two blocks of 750 postings, of 5 bytes each, fill a page of PostgreSQL.
MAX_POSTINGS = 750
LENGTHS_PER_BLOCK = 2_048
CODES_PER_BLOCK = 128

_SLOT = np.dtype("<i4")
_LENGTH = np.dtype("<u2")
_SLOT_BYTES = 5


def pack_postings(slots: Slots, weights: Weights) -> bytes:
    """A block of a term's list."""
    return slots.astype(_SLOT).tobytes() + weights.tobytes()


def unpack_postings(blocks: Sequence[bytes]) -> tuple[Slots, Weights]:
    """The list of a term from its blocks in order."""
    counts = [len(block) // _SLOT_BYTES for block in blocks]
    slots = [np.frombuffer(b, _SLOT, n) for b, n in zip(blocks, counts, strict=True)]
    weights = [np.frombuffer(b, np.uint8, n, 4 * n) for b, n in zip(blocks, counts, strict=True)]
    if len(blocks) == 1:
        return slots[0], weights[0]
    return np.concatenate(slots), np.concatenate(weights)


def pack_weight(weight: float) -> int:
    """Weights are sums of small whole numbers; over 255 BM25 sees no difference."""
    return min(max(round(weight), 1), 255)


def pack_length(length: float) -> int:
    """At least 1, since 0 says that the slot is free."""
    return min(max(round(length), 1), 65_535)


def code_of(vector: Vector) -> Codes:
    """A bit for each component: whether it is above 0."""
    return np.packbits(vector > 0)


def pack_terms(terms: Iterable[str]) -> bytes:
    """Terms hold no line breaks, see `retrieval.index.terms`."""
    return zlib.compress("\n".join(sorted(terms)).encode())


def unpack_terms(packed: bytes) -> list[str]:
    """The inverse of `pack_terms`; none for an empty value."""
    text = zlib.decompress(packed).decode() if packed else ""
    return text.split("\n") if text else []


def read_lengths(blocks: Iterable[tuple[int, bytes]], count: int) -> Lengths:
    """The lengths of `count` slots from their blocks; 0 where there is none."""
    found = np.zeros(count, np.uint16)
    for first, body in blocks:
        lengths = np.frombuffer(body, _LENGTH)[: max(count - first, 0)]
        found[first : first + len(lengths)] = lengths
    return found


def read_codes(blocks: Sequence[tuple[int, bytes]], count: int) -> Codes:
    """The codes of `count` slots, one row each; zeros where there is none."""
    width = len(blocks[0][1]) // CODES_PER_BLOCK
    found = np.zeros((count, width), np.uint8)
    for first, body in blocks:
        rows = np.frombuffer(body, np.uint8).reshape(-1, width)[: max(count - first, 0)]
        found[first : first + len(rows)] = rows
    return found
