"""What the gateway does when services, itself among them, say something happened."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fleetdesk.gateway.v1.events_pb2 import ErasureFinished
from fleetkit.erasure import erasing, finishing
from fleetkit.events import EvenIfErased, EventMeta, Handler, publish
from fleetkit.postgres.connection import FleetConnection

from gateway.erasure import ERASURE
from gateway.erasures import ANSWERING
from gateway.store import erasures as store


async def on_erasure_completed(conn: FleetConnection, event: Any, meta: EventMeta) -> None:
    """Notes a service's answer; the last one finishes the erasure. Idempotent."""
    erasure_id = UUID(event.erasure_id)
    row = await store.lock_erasure(conn, meta.tenant_id, erasure_id)
    if row is None:
        return
    service = meta.type.split(".")[1]
    answer = store.AnswerRow(erasure_id, service, meta.occur_time, dict(event.counts))
    answered = await store.add_answer(conn, meta.tenant_id, answer)
    if answered < len(ANSWERING) or row.finish_time is not None:
        return
    await store.finish_erasure(conn, meta.tenant_id, erasure_id, conn.now())
    if row.kind == "tenant":
        await publish(conn, ErasureFinished(erasure_id=event.erasure_id), revision=1)


HANDLERS: Mapping[str, Handler] = {
    "fleetdesk.gateway.v1.ErasureRequested": erasing(ERASURE),
    "fleetdesk.gateway.v1.ErasureFinished": finishing(),
    **{
        f"fleetdesk.{service}.v1.ErasureCompleted": EvenIfErased(on_erasure_completed)
        for service in ANSWERING
    },
}
