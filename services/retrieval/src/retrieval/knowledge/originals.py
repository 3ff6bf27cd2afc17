"""Originals in the blob store: each content has its own key, and none outlives its source.

A job that looks for an original without a source is queued before the original is put and when
its source is replaced or deleted, so that neither a crash nor a half upload leaves one behind.
"""

from datetime import timedelta
from uuid import UUID

from fleetkit import jobs
from fleetkit.blobs import Blobs
from fleetkit.errors import Unavailable
from fleetkit.jobs import Job
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection

from retrieval.store import sources as store

SWEEP = "sweep_original"
# Longer than any upload takes.
_UPLOAD_TIME = timedelta(hours=1)


def key(tenant_id: UUID, content_id: UUID) -> str:
    """The blob of an original."""
    return f"{tenant_id}/originals/{content_id}"


class Originals:
    """Puts, reads and removes originals."""

    def __init__(self, db: Database, blobs: Blobs) -> None:
        self._db = db
        self._blobs = blobs

    async def put(self, tenant_id: UUID, contents: dict[UUID, bytes]) -> None:
        """Stores contents by their ids; those that no source takes within an hour are removed."""
        async with self._db.tenant(tenant_id) as conn:
            for content_id in contents:
                await jobs.enqueue(
                    conn, tenant_id, SWEEP, content_id, run_at=conn.now() + _UPLOAD_TIME
                )
        for content_id, content in contents.items():
            await self._blobs.put(key(tenant_id, content_id), content)

    async def get(self, tenant_id: UUID, content_id: UUID) -> bytes:
        """An original; NotFound when it is gone."""
        return await self._blobs.get(key(tenant_id, content_id))

    async def remove(self, tenant_id: UUID, content_ids: list[UUID]) -> None:
        """Removes originals that no source has any more; what fails is left to `sweep`."""
        for content_id in content_ids:
            try:
                await self._blobs.delete(key(tenant_id, content_id))
            except Unavailable:
                return

    async def sweep(self, job: Job) -> None:
        """Removes the original of the job unless a source has it."""
        async with self._db.tenant(job.tenant_id) as conn:
            if await store.is_content_used(conn, job.tenant_id, job.subject_id):
                return
        await self._blobs.delete(key(job.tenant_id, job.subject_id))


async def sweep_soon(conn: FleetConnection, tenant_id: UUID, content_id: UUID) -> None:
    """Queues the removal of an original that its source no longer has."""
    await jobs.enqueue(conn, tenant_id, SWEEP, content_id)
