"""Writing the index: a document's passages are put in, replaced and taken out as one.

All of it happens in the caller's transaction, under the lock of the tenant's index row: a search
sees all of a document's passages or none.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from uuid import UUID

import numpy as np
from fleetkit.postgres.connection import FleetConnection
from pgvector import Vector

from retrieval.index import packing
from retrieval.index.packing import CODES_PER_BLOCK, LENGTHS_PER_BLOCK, MAX_POSTINGS, Slots
from retrieval.store import blocks as store
from retrieval.store import chunks as chunk_store
from retrieval.store.blocks import CodeBlock, PostingBlock
from retrieval.store.rows import IndexStat, NewChunk

# Free slots are used again once they are this many and one of so many.
_FREE_MIN = 256
_FREE_SHARE = 8


async def replace_document(
    conn: FleetConnection,
    tenant_id: UUID,
    document_id: UUID,
    model: str,
    chunks: Sequence[NewChunk],
) -> int:
    """Puts a document's passages in the place of its former ones; returns the new version."""
    stat = await chunk_store.lock_stat(conn, tenant_id)
    former = await chunk_store.slots_of_document(conn, tenant_id, document_id)
    old_terms = packing.unpack_terms(await store.index_terms(conn, tenant_id, document_id))
    count, length = await chunk_store.measure_document(conn, tenant_id, document_id)
    await chunk_store.delete_chunks(conn, tenant_id, document_id)
    slots = await _allocate(conn, tenant_id, stat, former, len(chunks))
    await chunk_store.insert_chunks(conn, tenant_id, document_id, model, chunks, slots)
    terms = {term for chunk in chunks for term in chunk.terms}
    await _write_postings(conn, tenant_id, {*old_terms, *terms}, former, slots, chunks)
    await store.put_index_terms(conn, tenant_id, document_id, packing.pack_terms(terms))
    await _write_lengths(conn, tenant_id, former, slots, chunks)
    vectors = {slot: chunk.embedding for slot, chunk in zip(slots, chunks, strict=True)}
    await _write_codes(conn, tenant_id, model, former, vectors)
    changed = IndexStat(
        knowledge_version=stat.knowledge_version + 1,
        chunk_count=stat.chunk_count - count + len(chunks),
        length_sum=max(stat.length_sum - length + sum(c.length for c in chunks), 0.0),
        slot_count=max([stat.slot_count, *(slot + 1 for slot in slots)]),
        # The first passages of an index decide.
        model=stat.model if stat.chunk_count > count or not chunks else model,
    )
    await chunk_store.put_stat(conn, tenant_id, changed)
    return changed.knowledge_version


async def remove_document(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID
) -> tuple[int, int]:
    """Takes a document's passages out; returns how many they were, and the new version."""
    await chunk_store.lock_stat(conn, tenant_id)
    count, _ = await chunk_store.measure_document(conn, tenant_id, document_id)
    version = await replace_document(conn, tenant_id, document_id, "", [])
    return count, version


async def _allocate(
    conn: FleetConnection, tenant_id: UUID, stat: IndexStat, former: Sequence[int], count: int
) -> list[int]:
    """Slots for `count` passages: the document's own, then free ones, then new ones."""
    slots = list(former[:count])
    free = stat.slot_count - stat.chunk_count
    if len(slots) < count and free > max(_FREE_MIN, stat.slot_count // _FREE_SHARE):
        blocks = await store.length_blocks(conn, tenant_id)
        lengths = packing.read_lengths(blocks, stat.slot_count)
        empty = np.setdiff1d(np.flatnonzero(lengths == 0), former)
        slots += [int(slot) for slot in empty[: count - len(slots)]]
    return slots + list(range(stat.slot_count, stat.slot_count + count - len(slots)))


async def _write_postings(
    conn: FleetConnection,
    tenant_id: UUID,
    terms: Iterable[str],
    former: Sequence[int],
    slots: Sequence[int],
    chunks: Sequence[NewChunk],
) -> None:
    touched = [*former, *slots]
    if not touched:
        return
    wanted = sorted(terms)
    blocks = await store.posting_blocks_between(conn, tenant_id, wanted, min(touched), max(touched))
    changed, emptied = await asyncio.to_thread(_merge, wanted, blocks, former, slots, chunks)
    await store.put_posting_blocks(conn, tenant_id, changed, emptied)


def _merge(
    terms: Sequence[str],
    blocks: Sequence[PostingBlock],
    former: Sequence[int],
    slots: Sequence[int],
    chunks: Sequence[NewChunk],
) -> tuple[list[PostingBlock], list[tuple[str, int]]]:
    """Lists without the former slots and with the new ones: blocks to write, and to remove."""
    found = {term: list(group) for term, group in groupby(blocks, key=lambda b: b.term)}
    added: dict[str, list[tuple[int, int]]] = {}
    for slot, chunk in zip(slots, chunks, strict=True):
        for term, weight in chunk.terms.items():
            added.setdefault(term, []).append((slot, packing.pack_weight(weight)))
    gone = np.array(sorted(former), np.int32)
    changed: list[PostingBlock] = []
    emptied: list[tuple[str, int]] = []
    for term in terms:
        before = found.get(term, [])
        merged = _merged(term, before, gone, added.get(term, []))
        known = {block.first_slot: block.postings for block in before}
        changed += [b for b in merged if known.get(b.first_slot) != b.postings]
        kept = {block.first_slot for block in merged}
        emptied += [(term, first) for first in known if first not in kept]
    return changed, emptied


def _merged(
    term: str, before: Sequence[PostingBlock], gone: Slots, added: Sequence[tuple[int, int]]
) -> list[PostingBlock]:
    """The blocks that take the place of neighbouring ones; the first keeps its `first_slot`."""
    slots, weights = np.zeros(0, np.int32), np.zeros(0, np.uint8)
    if before:
        slots, weights = packing.unpack_postings([block.postings for block in before])
        if len(gone):
            stays = ~np.isin(slots, gone)
            slots, weights = slots[stays], weights[stays]
    if added:
        slots = np.concatenate([slots, np.array([slot for slot, _ in added], np.int32)])
        weights = np.concatenate([weights, np.array([w for _, w in added], np.uint8)])
        order = np.argsort(slots, kind="stable")
        slots, weights = slots[order], weights[order]
    lowest = before[0].first_slot if before else 0
    return [
        PostingBlock(
            term,
            int(slots[start]) if start else min(lowest, int(slots[0])),
            packing.pack_postings(
                slots[start : start + MAX_POSTINGS], weights[start : start + MAX_POSTINGS]
            ),
        )
        for start in range(0, len(slots), MAX_POSTINGS)
    ]


async def _write_lengths(
    conn: FleetConnection,
    tenant_id: UUID,
    former: Sequence[int],
    slots: Sequence[int],
    chunks: Sequence[NewChunk],
) -> None:
    values = dict.fromkeys(former, 0)
    values |= {s: packing.pack_length(c.length) for s, c in zip(slots, chunks, strict=True)}
    by_block = _by_block(values, LENGTHS_PER_BLOCK)
    if not by_block:
        return
    known = dict(await store.length_blocks(conn, tenant_id, list(by_block)))
    changed: dict[int, bytes] = {}
    for first, inside in by_block.items():
        lengths = np.zeros(LENGTHS_PER_BLOCK, "<u2")
        before = np.frombuffer(known.get(first, b""), "<u2")
        lengths[: len(before)] = before
        lengths[np.array(inside) - first] = [values[slot] for slot in inside]
        changed[first] = lengths.tobytes()
    await store.put_length_blocks(conn, tenant_id, changed)


async def add_codes(
    conn: FleetConnection, tenant_id: UUID, model: str, vectors: Mapping[int, str]
) -> None:
    """Codes of another model for passages that are there, from their vectors by slot."""
    await _write_codes(conn, tenant_id, model, [], vectors)


async def _write_codes(
    conn: FleetConnection,
    tenant_id: UUID,
    model: str,
    former: Sequence[int],
    vectors: Mapping[int, str],
) -> None:
    """Codes of the former passages go, of every model; those of the new ones are `model`'s."""
    firsts = list(_by_block([*former, *vectors], CODES_PER_BLOCK))
    if not firsts:
        return
    known = await store.code_blocks_at(conn, tenant_id, firsts)
    changed = await asyncio.to_thread(_merge_codes, known, model, former, vectors)
    await store.put_code_blocks(conn, tenant_id, changed)


def _merge_codes(
    known: Sequence[CodeBlock],
    model: str,
    former: Sequence[int],
    vectors: Mapping[int, str],
) -> list[CodeBlock]:
    bodies = {(block.model, block.first_slot): block.codes for block in known}
    codes = {
        slot: packing.code_of(Vector.from_text(vector).to_numpy())
        for slot, vector in vectors.items()
    }
    gone = _by_block(former, CODES_PER_BLOCK)
    new = _by_block(vectors, CODES_PER_BLOCK)
    merged: list[CodeBlock] = []
    for owner, first in sorted({*bodies, *((model, first) for first in new)}):
        mine = new.get(first, []) if owner == model else []
        if not mine and first not in gone:
            continue
        body = bodies.get((owner, first), b"")
        width = len(codes[mine[0]]) if mine else len(body) // CODES_PER_BLOCK
        rows = np.zeros((CODES_PER_BLOCK, width), np.uint8)
        if body:
            rows[:] = np.frombuffer(body, np.uint8).reshape(CODES_PER_BLOCK, width)
        for slot in gone.get(first, []):
            rows[slot - first] = 0
        for slot in mine:
            rows[slot - first] = codes[slot]
        merged.append(CodeBlock(owner, first, rows.tobytes()))
    return merged


def _by_block(slots: Iterable[int], size: int) -> dict[int, list[int]]:
    """Slots by the first slot of their block."""
    found: dict[int, list[int]] = {}
    for slot in slots:
        found.setdefault(slot - slot % size, []).append(slot)
    return found
