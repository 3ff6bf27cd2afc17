"""Token vectors for late interaction (Khattab & Zaharia 2020), small enough to be stored.

The 384 components of each token are projected to `DIMENSIONS` (the principal ones of passages'
tokens), tokens that say nearly the same are paired and averaged, and each vector is kept as signed
4-bit numbers with a scale. A query's tokens count by how rare they are. `python -m
tests.eval.late_interaction` fits both tables and prints what each step gains and loses.
"""

import io
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 64
# A token is a scale (float16) and two components a byte.
TOKEN_BYTES = 2 + DIMENSIONS // 2
_STEPS = 7

Matrix = NDArray[np.float32]


@cache
def projection() -> Matrix:
    """384 × DIMENSIONS, orthonormal columns."""
    return _table("token_projection.npy")


@cache
def rarity() -> Matrix:
    """How much each token of the vocabulary counts in a query: its squared idf."""
    return _table("token_rarity.npy")


def of_query(tokens: Matrix, ids: Sequence[int]) -> bytes:
    """A query's token vectors, projected, each as long as its share of the query, as float16."""
    counts = rarity()[np.asarray(ids)]
    shares = counts / max(float(counts.sum()), 1e-9)
    return (_projected(tokens) * shares[:, None]).astype("<f2").tobytes()


def of_passage(tokens: Matrix) -> bytes:
    """A passage's token vectors, paired, projected and quantised: `TOKEN_BYTES` a pair."""
    return pack(_projected(paired(_unit(tokens))))


def paired(vectors: Matrix) -> Matrix:
    """Half as many unit vectors: the most alike two become one, then the next two, and so on."""
    count = len(vectors)
    first, second = np.triu_indices(count, 1)
    alike = (vectors @ vectors.T)[first, second]
    free = np.ones(count, dtype=bool)
    pairs: list[tuple[int, int]] = []
    for place in np.argsort(-alike, kind="stable"):
        one, two = int(first[place]), int(second[place])
        if free[one] and free[two]:
            free[one] = free[two] = False
            pairs.append((one, two))
            if 2 * len(pairs) >= count - 1:
                break
    merged = [vectors[one] + vectors[two] for one, two in pairs]
    return _unit(np.array([*merged, *vectors[free]], np.float32))


def pack(vectors: Matrix) -> bytes:
    """Rows of DIMENSIONS components as scales and nibbles."""
    scales = np.maximum(np.abs(vectors).max(axis=1, keepdims=True) / _STEPS, 1e-6)
    nibbles = (np.rint(vectors / scales) + 8).astype(np.uint8)
    packed = nibbles[:, ::2] << 4 | nibbles[:, 1::2]
    rows = np.concatenate([scales.astype("<f2").view(np.uint8), packed], axis=1)
    return rows.tobytes()


def unpack(packed: bytes) -> Matrix:
    """The rows that `pack` wrote; ValueError when the bytes are not such rows."""
    rows = np.frombuffer(packed, np.uint8).reshape(-1, TOKEN_BYTES)
    scales = np.ascontiguousarray(rows[:, :2]).view("<f2").astype(np.float32)
    vectors = np.empty((len(rows), DIMENSIONS), np.float32)
    vectors[:, ::2] = rows[:, 2:] >> 4
    vectors[:, 1::2] = rows[:, 2:] & 15
    return (vectors - 8) * scales


def unpack_query(packed: bytes) -> Matrix:
    """The rows that `of_query` wrote."""
    return np.frombuffer(packed, "<f2").reshape(-1, DIMENSIONS).astype(np.float32)


def late_interaction(query: Matrix, passage: Matrix) -> float:
    """For each of the query's tokens the closest of the passage's (MaxSim), by share; −1 to 1."""
    return float((query @ passage.T).max(axis=1).sum())


def _table(name: str) -> Matrix:
    raw = (files("llm_gateway.minilm") / name).read_bytes()
    return np.load(io.BytesIO(raw), allow_pickle=False).astype(np.float32)


def _projected(tokens: Matrix) -> Matrix:
    return _unit(_unit(tokens) @ projection())


def _unit(vectors: Matrix) -> Matrix:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
