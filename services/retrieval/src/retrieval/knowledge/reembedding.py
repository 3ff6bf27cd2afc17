"""Making the vectors of another model, beside those that searches use, then going over to them.

A job works in turns, batch by batch: a passage that has its vector is done, so a process that dies
loses the batch in its hands. What comes or changes meanwhile is embedded by the serving model and
lacks the new vector until the job finds it. Only when no passage lacks one, which is looked at
under the lock that writers of the index take, does the index name the other model.
"""

import time
from collections.abc import Sequence
from uuid import UUID

from fleetdesk.retrieval.v1.events_pb2 import KnowledgeChanged
from fleetkit import jobs
from fleetkit.context import Attribution, attributed
from fleetkit.errors import FleetError, Unavailable
from fleetkit.events.outbox import publish
from fleetkit.jobs import Job
from fleetkit.postgres import Database

from retrieval.index import writing
from retrieval.index.embedding import Embedded, Embedder, name_of
from retrieval.knowledge.models import chosen, input_key
from retrieval.knowledge.work import REEMBED
from retrieval.parsing.prepare import embedded_text
from retrieval.store import chunks as chunk_store
from retrieval.store import models as store
from retrieval.store import token_vectors as token_store
from retrieval.store.rows import UnembeddedRow

_DELETED_AT_ONCE = 2_000


class Reembedding:
    """The handler of jobs whose subject is the tenant itself."""

    def __init__(
        self,
        db: Database,
        embedder: Embedder,
        default_model: str,
        *,
        batch_size: int,
        turn_s: float,
    ) -> None:
        self._db = db
        self._embedder = embedder
        self._default_model = default_model
        self._batch_size = batch_size
        self._turn_s = turn_s

    async def run(self, job: Job) -> None:
        """Takes one turn; queues the next when passages are left."""
        try:
            with attributed(Attribution(purpose="ingest")):
                await self._take_turn(job.tenant_id)
        except FleetError as error:
            await self._note(job.tenant_id, error.reason)
            raise

    async def give_up(self, job: Job, error: Exception) -> None:
        """The last attempt failed; the clock asks for another job later."""
        reason = error.reason if isinstance(error, FleetError) else "INTERNAL"
        await self._note(job.tenant_id, reason)

    async def _take_turn(self, tenant_id: UUID) -> None:
        until = time.monotonic() + self._turn_s
        target = await self._target(tenant_id)
        after, wrote = -1, False
        while target:
            async with self._db.tenant(tenant_id) as conn:
                rows = await store.lacking(conn, tenant_id, target, after, self._batch_size)
            if not rows:
                if await self._go_over(tenant_id, target, wrote=wrote):
                    break
                after = -1
                continue
            made = await self._embedder.passages([_input(row) for row in rows], name_of(target))
            if made.model != target:
                raise Unavailable("the embedding model changed meanwhile", retry_after_s=1.0)
            if not await self._put(tenant_id, target, rows, made):
                target = await self._target(tenant_id)
                after = -1
                continue
            after, wrote = rows[-1].slot, True
            if time.monotonic() >= until:
                async with self._db.tenant(tenant_id) as conn:
                    await jobs.enqueue(conn, tenant_id, REEMBED, tenant_id)
                return
        await self._tidy(tenant_id)

    async def _target(self, tenant_id: UUID) -> str:
        """The chosen model with the version that answers now; "" when nothing is known yet."""
        async with self._db.tenant(tenant_id) as conn:
            stat = await chunk_store.get_stat(conn, tenant_id)
            setting = await store.get_setting(conn, tenant_id)
        if not stat.chunk_count:
            await self._end(tenant_id)
            return ""
        probe = await self._embedder.passages(["test"], chosen(setting, self._default_model))
        async with self._db.tenant(tenant_id) as conn:
            stat = await chunk_store.lock_stat(conn, tenant_id)
            setting = await store.get_setting(conn, tenant_id)
            if probe.model == stat.model:
                await store.set_target(conn, tenant_id, "", None)
            elif probe.model != setting.target_model:
                await store.set_target(conn, tenant_id, probe.model, conn.now())
        return probe.model

    async def _put(
        self, tenant_id: UUID, target: str, rows: Sequence[UnembeddedRow], made: Embedded
    ) -> bool:
        """Stores vectors of the passages that are still there; False when others are wanted."""
        async with self._db.tenant(tenant_id) as conn:
            await chunk_store.lock_stat(conn, tenant_id)
            setting = await store.get_setting(conn, tenant_id)
            if chosen(setting, self._default_model) != name_of(target):
                return False
            await store.set_error(conn, tenant_id, "")
            there = await store.still_there(conn, tenant_id, [row.chunk_no for row in rows])
            vectors = {
                row.slot: (input_key(_input(row)), vector)
                for row, vector in zip(rows, made.vectors, strict=True)
                if row.chunk_no in there
            }
            tokens = {
                row.chunk_no: (row.document_id, input_key(_input(row)), kept)
                for row, kept in zip(rows, made.tokens, strict=True)
                if row.chunk_no in there and kept
            }
            await store.put_vectors(conn, tenant_id, target, vectors)
            await token_store.put_again(conn, tenant_id, target, tokens)
            codes = {slot: vector for slot, (_, vector) in vectors.items()}
            await writing.add_codes(conn, tenant_id, target, codes)
        return True

    async def _go_over(self, tenant_id: UUID, target: str, *, wrote: bool) -> bool:
        """Lets searches use the target, unless a passage came that lacks its vector: then False.

        What this turn `wrote` for the model that serves already makes another version, too.
        """
        async with self._db.tenant(tenant_id) as conn:
            stat = await chunk_store.lock_stat(conn, tenant_id)
            setting = await store.get_setting(conn, tenant_id)
            if chosen(setting, self._default_model) != name_of(target):
                # Chosen while this was under way: that has queued a job of its own.
                return True
            if await store.is_lacking(conn, tenant_id, target):
                return False
            if stat.model != target or wrote:
                version = await store.set_model(conn, tenant_id, target)
                await publish(conn, KnowledgeChanged(), revision=version)
            await store.set_target(conn, tenant_id, "", None)
        return True

    async def _tidy(self, tenant_id: UUID) -> None:
        """Takes away what belongs to neither the serving model nor the one that is wanted."""
        async with self._db.tenant(tenant_id) as conn:
            if (await store.get_setting(conn, tenant_id)).target_model:
                return
        while True:
            async with self._db.tenant(tenant_id) as conn:
                if not await store.delete_others(conn, tenant_id, _DELETED_AT_ONCE):
                    return

    async def _end(self, tenant_id: UUID) -> None:
        async with self._db.tenant(tenant_id) as conn:
            await store.set_target(conn, tenant_id, "", None)

    async def _note(self, tenant_id: UUID, reason: str) -> None:
        async with self._db.tenant(tenant_id) as conn:
            await store.set_error(conn, tenant_id, reason)


def _input(row: UnembeddedRow) -> str:
    return embedded_text(row.title, tuple(row.heading_path), row.text)
