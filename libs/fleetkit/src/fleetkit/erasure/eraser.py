"""The jobs of an erasure: blobs and the answer, a second look, and the bus at last."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from nats.aio.client import Client

from fleetkit.blobs import Blobs
from fleetkit.clock import Clock
from fleetkit.config import FleetSettings
from fleetkit.erasure.bus import BusOfTenant
from fleetkit.erasure.handlers import (
    CLEAR_BUS,
    CLEAR_UNTIL,
    COMPLETE,
    LOOK_AGAIN,
    SWEEP,
    SWEEP_AFTER,
)
from fleetkit.erasure.rows import erase_rows
from fleetkit.erasure.rules import Erasure, Target
from fleetkit.events import publish
from fleetkit.jobs import Job, JobHandler, enqueue
from fleetkit.logging import get_logger
from fleetkit.postgres.database import Database


class Eraser:
    """Runs the jobs that the handlers of an erasure leave behind."""

    def __init__(
        self,
        settings: FleetSettings,
        db: Database,
        client: Client,
        clock: Clock,
        erasure: Erasure,
        blobs: Blobs | None,
    ) -> None:
        self._db = db
        self._bus = BusOfTenant(settings.service, client)
        self._clock = clock
        self._erasure = erasure
        self._blobs = blobs

    @property
    def handlers(self) -> Mapping[str, JobHandler]:
        """The jobs by kind."""
        return {COMPLETE: self._complete, SWEEP: self._sweep, CLEAR_BUS: self._clear_bus}

    async def _complete(self, job: Job) -> None:
        """Deletes blobs, answers with counts, and arranges for the second look."""
        target = _target(job)
        counts: dict[str, int] = dict(job.payload["counts"])
        counts |= await self._erase_blobs(target)
        event: Any = self._erasure.completed(erasure_id=str(target.erasure_id))
        event.counts.update(counts)
        async with self._db.tenant(job.tenant_id) as conn:
            await publish(conn, event, revision=1)
            again = self._clock.now() + SWEEP_AFTER
            await enqueue(conn, job.tenant_id, SWEEP, target.erasure_id, job.payload, again)

    async def _sweep(self, job: Job) -> None:
        """Erases what calls that were under way have written since."""
        target = _target(job)
        async with self._db.tenant(job.tenant_id) as conn:
            counts = await erase_rows(conn, self._erasure, target)
        counts |= await self._erase_blobs(target)
        if any(counts.values()):
            get_logger().info("erasure_swept", erasure_id=str(target.erasure_id), counts=counts)

    async def _erase_blobs(self, target: Target) -> dict[str, int]:
        """Deletes a tenant's blobs; how many, where the service has any."""
        if target.visitor_id is not None or self._blobs is None:
            return {}
        return {"blobs": await self._blobs.delete_prefix(f"{target.tenant_id}/")}

    async def _clear_bus(self, job: Job) -> None:
        """Takes the tenant's events out of the stream and the outbox, and forgets the tenant.

        Not before every consumer has acknowledged them: what is owed is told by them. Until then
        it looks again every hour, up to the day on which the outbox lets go of them by itself:
        those that the stream has dropped by then may be replayed.
        """
        now = self._clock.now()
        until = job.payload.get("until") or (now + CLEAR_UNTIL).isoformat()
        was_awaited = bool(job.payload.get("awaited"))
        awaited = await self._bus.is_awaited(job.tenant_id, or_else=was_awaited)
        if awaited and now < datetime.fromisoformat(until):
            payload = {"until": until, "awaited": True}
            async with self._db.tenant(job.tenant_id) as conn:
                again = now + LOOK_AGAIN
                await enqueue(conn, job.tenant_id, CLEAR_BUS, job.subject_id, payload, again)
            return
        await self._bus.purge(job.tenant_id)
        async with self._db.tenant(job.tenant_id) as conn:
            await conn.execute(
                "delete from outbox where tenant_id = %s and publish_time is not null",
                [job.tenant_id],
            )
            await conn.execute("delete from known_tenants where tenant_id = %s", [job.tenant_id])


def _target(job: Job) -> Target:
    given = job.payload["target"]
    return Target(
        tenant_id=job.tenant_id,
        erasure_id=UUID(given["erasure_id"]),
        visitor_id=UUID(given["visitor_id"]) if given["visitor_id"] else None,
        conversation_ids=tuple(UUID(one) for one in given["conversation_ids"]),
        erase_time=datetime.fromisoformat(given["erase_time"]),
    )
