"""Fusing two rankings: how much each counts is decided per query, from fitted weights."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that one ranking or both found; ranks count from 1.

    `cosine` is None when the query has no vector; `bm25` is 0 when it has none of the terms.
    """

    chunk_no: int
    cosine: float | None
    bm25: float
    dense_rank: int | None
    bm25_rank: int | None


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its fused score, 0–1."""

    candidate: Candidate
    fused: float
