"""Loads made-up knowledge into retrieval's tables by COPY, packed as the service packs it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

import numpy as np
import psycopg
from fleetkit.ids import new_id
from pgvector import HalfVector
from pgvector.psycopg import register_vector_async
from retrieval.index import packing

MODEL = "bench/model@1"
_NOISE = 0.02
_TABLES = {
    "lists": ("posting_block", "length_block"),
    "codes": ("code_block",),
    "vectors": ("chunk_embedding",),
}


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Passages: texts (all different), weighted terms, unit vectors."""

    texts: list[str]
    terms: list[dict[str, float]]
    vectors: np.ndarray


@dataclass(frozen=True, slots=True)
class _Owner:
    tenant_id: UUID
    source_id: UUID
    document_id: UUID
    made: Knowledge


def copies(base: Knowledge, count: int, seed: int) -> Knowledge:
    """`count` noisy copies of passages drawn from `base`."""
    draw = np.random.default_rng(seed)
    picked = draw.integers(0, len(base.texts), count)
    vectors = base.vectors[picked] + draw.normal(0, _NOISE, (count, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"{base.texts[number]}\n{position}" for position, number in enumerate(picked)]
    return Knowledge(texts, [base.terms[number] for number in picked], vectors.astype(np.float32))


async def load(admin_url: str, tenants: Sequence[tuple[UUID, Knowledge]]) -> None:
    """Writes everything of these tenants, each as one document, and tidies the tables."""
    owners = [_Owner(tenant, new_id(), new_id(), made) for tenant, made in tenants]
    async with await _connect(admin_url) as conn:
        for target, rows_of in _ROWS.items():
            rows = (row for owner in owners for row in rows_of(owner))
            async with conn.cursor() as cursor, cursor.copy(target) as copy:
                for row in rows:
                    await copy.write_row(row)
        await conn.execute("vacuum analyze")


async def sizes(admin_url: str) -> dict[str, int]:
    """Bytes on disk of each part of the index, with its own indexes."""
    async with await _connect(admin_url) as conn:
        found: dict[str, int] = {}
        for part, names in _TABLES.items():
            rows = await conn.execute(
                "select sum(pg_total_relation_size(n::regclass)) from unnest(%s::text[]) n",
                [list(names)],
            )
            row = await rows.fetchone()
            found[part] = int(row[0]) if row else 0
    return found


async def _connect(admin_url: str) -> psycopg.AsyncConnection[Any]:
    conn = await psycopg.AsyncConnection.connect(admin_url, autocommit=True)
    await conn.execute("set search_path to retrieval, extensions")
    await register_vector_async(conn)
    return conn


def _sources(owner: _Owner) -> Iterable[tuple[Any, ...]]:
    now = datetime.now(UTC)
    yield owner.tenant_id, owner.source_id, "text", "", "", "", owner.source_id, b"", 0, now, now


def _documents(owner: _Owner) -> Iterable[tuple[Any, ...]]:
    now = datetime.now(UTC)
    yield owner.tenant_id, owner.document_id, owner.source_id, "ready", "Bench", now


def _chunks(owner: _Owner) -> Iterable[tuple[Any, ...]]:
    for slot, (text, terms) in enumerate(zip(owner.made.texts, owner.made.terms, strict=True)):
        ids = owner.tenant_id, new_id(), owner.document_id
        yield *ids, slot, [], 0, len(text), 1, sum(terms.values()), text, slot


def _embeddings(owner: _Owner) -> Iterable[tuple[Any, ...]]:
    for slot, vector in enumerate(owner.made.vectors):
        yield owner.tenant_id, slot, MODEL, bytes(32), HalfVector(vector)


def _postings(owner: _Owner) -> Iterable[tuple[Any, ...]]:
    lists: dict[str, tuple[list[int], list[int]]] = {}
    for slot, terms in enumerate(owner.made.terms):
        for term, weight in terms.items():
            slots, weights = lists.setdefault(term, ([], []))
            slots.append(slot)
            weights.append(packing.pack_weight(weight))
    for term, (slots, weights) in lists.items():
        for start in range(0, len(slots), packing.MAX_POSTINGS):
            end = start + packing.MAX_POSTINGS
            body = packing.pack_postings(
                np.array(slots[start:end], np.int32), np.array(weights[start:end], np.uint8)
            )
            yield owner.tenant_id, term, slots[start] if start else 0, body


def _lengths(owner: _Owner) -> Iterable[tuple[Any, ...]]:
    lengths = [packing.pack_length(sum(terms.values())) for terms in owner.made.terms]
    for first in range(0, len(lengths), packing.LENGTHS_PER_BLOCK):
        block = np.zeros(packing.LENGTHS_PER_BLOCK, "<u2")
        part = lengths[first : first + packing.LENGTHS_PER_BLOCK]
        block[: len(part)] = part
        yield owner.tenant_id, first, block.tobytes()


def _codes(owner: _Owner) -> Iterable[tuple[Any, ...]]:
    codes = np.packbits(owner.made.vectors > 0, axis=1)
    for first in range(0, len(codes), packing.CODES_PER_BLOCK):
        block = np.zeros((packing.CODES_PER_BLOCK, codes.shape[1]), np.uint8)
        part = codes[first : first + packing.CODES_PER_BLOCK]
        block[: len(part)] = part
        yield owner.tenant_id, MODEL, first, block.tobytes()


def _stats(owner: _Owner) -> Iterable[tuple[Any, ...]]:
    count = len(owner.made.texts)
    length = float(sum(sum(terms.values()) for terms in owner.made.terms))
    yield owner.tenant_id, 1, count, length, count, MODEL


_ROWS: dict[LiteralString, Callable[[_Owner], Iterable[tuple[Any, ...]]]] = {
    "copy source (tenant_id, source_id, type, given_title, url, file_name, content_id,"
    " content_sha256, byte_count, create_time, update_time) from stdin": _sources,
    "copy document (tenant_id, document_id, source_id, status, title, update_time)"
    " from stdin": _documents,
    "copy chunk (tenant_id, chunk_id, document_id, ordinal, heading_path, span_start, span_end,"
    " token_count, length, text, slot) from stdin": _chunks,
    "copy chunk_embedding (tenant_id, slot, model, input_sha256, embedding)"
    " from stdin": _embeddings,
    "copy posting_block (tenant_id, term, first_slot, postings) from stdin": _postings,
    "copy length_block (tenant_id, first_slot, lengths) from stdin": _lengths,
    "copy code_block (tenant_id, model, first_slot, codes) from stdin": _codes,
    "copy index_stat (tenant_id, knowledge_version, chunk_count, length_sum, slot_count, model)"
    " from stdin": _stats,
}
