"""Conflicts between articles: found when a document was read, listed for people to settle.

A document's passages are compared with the nearest ones of other documents: first by the codes of
all the tenant's vectors, then by the vectors, then word by word (`knowledge/differing.py`).
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from fleetkit.errors import NotFound
from fleetkit.jobs import Job
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection
from pgvector import Vector

from retrieval.index import packing, scan
from retrieval.knowledge.differing import differences, different_things
from retrieval.knowledge.sources import page_limit
from retrieval.store import blocks as block_store
from retrieval.store import conflicts as store
from retrieval.store.blocks import IndexBlocks
from retrieval.store.conflicts import ComparedRow, ConflictCounts, ConflictRow, NewConflict

_COSINE = 0.45
_NEAREST = 8
_BY_CODES = 50
_MOST_PASSAGES = 2_000
_MOST_OF_DOCUMENT = 100
_MOST_OF_TENANT = 10_000


@dataclass(frozen=True, slots=True)
class ConflictPage:
    """One page of pairs, where the next begins, and counts over all pairs."""

    rows: list[ConflictRow]
    next_before: UUID | None
    counts: ConflictCounts


class Comparison:
    """The handler of jobs whose subject is a document that was read."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run(self, job: Job) -> None:
        """Finds the document's conflicts anew; of one that is gone there are none."""
        async with self._db.snapshot(job.tenant_id) as conn:
            rows = await store.passages_of(conn, job.tenant_id, job.subject_id, _MOST_PASSAGES)
            blocks = await block_store.read(conn, job.tenant_id, [])
        found: list[NewConflict] = []
        for row in rows:
            if len(found) >= _MOST_OF_DOCUMENT:
                break
            slots = await asyncio.to_thread(_near, blocks, row)
            async with self._db.tenant(job.tenant_id) as conn:
                others = await store.alike(
                    conn, job.tenant_id, row, slots, cosine=_COSINE, limit=_NEAREST
                )
            found += await asyncio.to_thread(_conflicts, row, others)
        async with self._db.tenant(job.tenant_id) as conn:
            await store.replace_of_document(
                conn,
                job.tenant_id,
                job.subject_id,
                found[:_MOST_OF_DOCUMENT],
                most=_MOST_OF_TENANT,
                now=conn.now(),
            )
            await store.settle_dismissals(conn, job.tenant_id, job.subject_id)


async def list_conflicts(
    db: Database,
    tenant_id: UUID,
    *,
    kind: str,
    dismissed: bool,
    before: UUID | None,
    page_size: int,
) -> ConflictPage:
    """Open or dismissed pairs, newest first, those after `before`."""
    limit = page_limit(page_size)
    async with db.tenant(tenant_id) as conn:
        rows = await store.list_conflicts(
            conn, tenant_id, kind=kind, dismissed=dismissed, before=before, limit=limit + 1
        )
        counts = await store.count_conflicts(conn, tenant_id)
    more = len(rows) > limit
    return ConflictPage(rows[:limit], rows[limit - 1].conflict_id if more else None, counts)


async def dismiss_conflict(db: Database, tenant_id: UUID, conflict_id: UUID) -> ConflictRow:
    """Lets a pair stand until one of its passages changes; NotFound when it has gone."""
    async with db.tenant(tenant_id) as conn:
        await store.dismiss(conn, tenant_id, conflict_id, conn.now())
        return await _existing(conn, tenant_id, conflict_id)


async def restore_conflict(db: Database, tenant_id: UUID, conflict_id: UUID) -> ConflictRow:
    """Lists a pair that was dismissed again; NotFound when it has gone."""
    async with db.tenant(tenant_id) as conn:
        await store.restore(conn, tenant_id, conflict_id)
        return await _existing(conn, tenant_id, conflict_id)


async def _existing(conn: FleetConnection, tenant_id: UUID, conflict_id: UUID) -> ConflictRow:
    row = await store.get_conflict(conn, tenant_id, conflict_id)
    if row is None:
        raise NotFound(
            "there is no such conflict: one of its documents was changed or deleted",
            field="conflict_id",
            reason="CONFLICT_NOT_FOUND",
        )
    return row


def _near(blocks: IndexBlocks, row: ComparedRow) -> list[int]:
    if not blocks.codes:
        return []
    count = blocks.stat.slot_count
    lengths = packing.read_lengths(blocks.lengths, count)
    codes = packing.read_codes(blocks.codes, count)
    return scan.nearest(codes, lengths > 0, Vector.from_text(row.embedding).to_numpy(), _BY_CODES)


def _conflicts(row: ComparedRow, others: list[ComparedRow]) -> list[NewConflict]:
    found: list[NewConflict] = []
    for other in others:
        if different_things(row.title, other.title):
            continue
        # The lower number first, so that a pair is one whichever side found it.
        one, two = sorted((row, other), key=lambda side: side.chunk_no)
        found += [
            NewConflict(
                difference.kind,
                difference.reason,
                difference.score,
                one.chunk_no,
                difference.span,
                two.chunk_no,
                difference.other_span,
            )
            for difference in differences(one.text, two.text, one.language, two.language)
        ]
    return found
