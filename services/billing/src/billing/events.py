"""What billing does when others say something happened."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_pb2
from fleetdesk.conversation.v1 import events_pb2 as conversation_events
from fleetdesk.gateway.v1 import events_pb2 as gateway_events
from fleetkit.erasure import erasing, finishing
from fleetkit.events import EvenIfErased, EventMeta, Handler, Together
from fleetkit.postgres.connection import FleetConnection

from billing.erasure import ERASURE
from billing.plans import load_plans
from billing.store.reservations import give_back
from billing.store.usage import LedgerRow
from billing.subscriptions import ensure_subscription
from billing.usage import record_answers


async def on_tenant_created(
    conn: FleetConnection, event: gateway_events.TenantCreated, meta: EventMeta
) -> None:
    """Subscribes a new tenant where the sign-up itself did not get to it. Idempotent."""
    await ensure_subscription(conn, load_plans(), meta.tenant_id, event.plan_id)


async def on_message_completed(
    conn: FleetConnection, events: Sequence[tuple[conversation_events.MessageCompleted, EventMeta]]
) -> None:
    """Puts answers on the usage ledger; other ends of turns are not metered. Idempotent.

    Either way the places that were held for them are given back.
    """
    tenant_id = events[0][1].tenant_id
    await give_back(conn, tenant_id, [UUID(event.message_id) for event, _ in events])
    rows = [
        LedgerRow(
            tenant_id=tenant_id,
            event_id=meta.event_id,
            message_id=UUID(event.message_id),
            conversation_id=UUID(event.conversation_id),
            occur_time=meta.occur_time,
        )
        for event, meta in events
        if _is_answered(event)
    ]
    await record_answers(conn, rows)


def _is_answered(event: conversation_events.MessageCompleted) -> bool:
    return (
        not event.small_talk
        and event.status == conversation_pb2.MESSAGE_STATUS_COMPLETED
        and event.outcome == conversation_pb2.OUTCOME_ANSWERED
    )


HANDLERS: Mapping[str, Handler] = {
    "fleetdesk.gateway.v1.TenantCreated": on_tenant_created,
    # What was used is owed, also by those who are erased: the ledger names no person.
    "fleetdesk.conversation.v1.MessageCompleted": EvenIfErased(Together(on_message_completed)),
    "fleetdesk.gateway.v1.ErasureRequested": erasing(ERASURE),
    "fleetdesk.gateway.v1.ErasureFinished": finishing(),
}
