"""What billing does when others say something happened."""

from collections.abc import Mapping
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_pb2
from fleetdesk.conversation.v1 import events_pb2 as conversation_events
from fleetdesk.gateway.v1 import events_pb2 as gateway_events
from fleetkit.erasure import erasing, finishing
from fleetkit.events import EvenIfErased, EventMeta, Handler
from fleetkit.postgres.connection import FleetConnection

from billing.erasure import ERASURE
from billing.plans import load_plans
from billing.store.reservations import give_back
from billing.store.usage import LedgerRow
from billing.subscriptions import ensure_subscription
from billing.usage import record_answer


async def on_tenant_created(
    conn: FleetConnection, event: gateway_events.TenantCreated, meta: EventMeta
) -> None:
    """Subscribes a new tenant where the sign-up itself did not get to it. Idempotent."""
    await ensure_subscription(conn, load_plans(), meta.tenant_id, event.plan_id)


async def on_message_completed(
    conn: FleetConnection, event: conversation_events.MessageCompleted, meta: EventMeta
) -> None:
    """Puts an answer on the usage ledger; other ends of a turn are not metered. Idempotent.

    Either way the place that was held for it is given back.
    """
    await give_back(conn, meta.tenant_id, UUID(event.message_id))
    answered = (
        not event.small_talk
        and event.status == conversation_pb2.MESSAGE_STATUS_COMPLETED
        and event.outcome == conversation_pb2.OUTCOME_ANSWERED
    )
    if not answered:
        return
    row = LedgerRow(
        tenant_id=meta.tenant_id,
        event_id=meta.event_id,
        message_id=UUID(event.message_id),
        conversation_id=UUID(event.conversation_id),
        occur_time=meta.occur_time,
    )
    await record_answer(conn, row)


HANDLERS: Mapping[str, Handler] = {
    "fleetdesk.gateway.v1.TenantCreated": on_tenant_created,
    # What was used is owed, also by those who are erased: the ledger names no person.
    "fleetdesk.conversation.v1.MessageCompleted": EvenIfErased(on_message_completed),
    "fleetdesk.gateway.v1.ErasureRequested": erasing(ERASURE),
    "fleetdesk.gateway.v1.ErasureFinished": finishing(),
}
