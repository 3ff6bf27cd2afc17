"""Handlers of the events of an erasure, made from a service's rules."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from fleetkit.erasure.rows import erase_rows
from fleetkit.erasure.rules import Erasure, Target
from fleetkit.events import EvenIfErased, EventMeta, outbox, tombstones
from fleetkit.jobs import enqueue
from fleetkit.postgres.connection import FleetConnection

COMPLETE = "erasure_complete"
SWEEP = "erasure_sweep"
CLEAR_BUS = "erasure_clear_bus"
# Longer than any call that was under way when the rows went may go on to write.
SWEEP_AFTER = timedelta(minutes=10)
# Late events are told of by then; whoever is still behind, such as on what is owed, is waited for.
CLEAR_AFTER = timedelta(days=1)
LOOK_AGAIN = timedelta(hours=1)
# By then the stream has dropped them by their age, and the outbox does.
CLEAR_UNTIL = timedelta(days=outbox.KEEP_DAYS)


def erasing(erasure: Erasure) -> EvenIfErased:
    """The handler of ErasureRequested: rows go in its transaction, a job does the rest."""

    async def on_erasure_requested(conn: FleetConnection, event: Any, meta: EventMeta) -> None:
        target = Target(
            tenant_id=meta.tenant_id,
            erasure_id=UUID(event.erasure_id),
            visitor_id=UUID(event.visitor_id) if event.visitor_id else None,
            conversation_ids=tuple(UUID(one) for one in event.conversation_ids),
            erase_time=meta.occur_time,
        )
        await tombstones.keep(conn, meta.tenant_id, target.ids, target.erase_time)
        counts = await erase_rows(conn, erasure, target)
        payload = {"target": to_payload(target), "counts": counts}
        await enqueue(conn, meta.tenant_id, COMPLETE, target.erasure_id, payload)

    return EvenIfErased(on_erasure_requested)


def finishing() -> EvenIfErased:
    """The handler of ErasureFinished: a job takes the tenant's events off the bus, later."""

    async def on_erasure_finished(conn: FleetConnection, event: Any, meta: EventMeta) -> None:
        now = conn.now()
        payload = {"until": (now + CLEAR_UNTIL).isoformat()}
        erasure_id = UUID(event.erasure_id)
        await enqueue(conn, meta.tenant_id, CLEAR_BUS, erasure_id, payload, now + CLEAR_AFTER)

    return EvenIfErased(on_erasure_finished)


def to_payload(target: Target) -> dict[str, Any]:
    """The target as the payload of a job."""
    return {
        "erasure_id": str(target.erasure_id),
        "visitor_id": str(target.visitor_id) if target.visitor_id else None,
        "conversation_ids": [str(one) for one in target.conversation_ids],
        "erase_time": target.erase_time.isoformat(),
    }
