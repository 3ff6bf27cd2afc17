"""What conversation does when others say something happened."""

from collections.abc import Mapping
from uuid import UUID

from fleetdesk.gateway.v1 import events_pb2 as gateway_events
from fleetkit.erasure import erasing, finishing
from fleetkit.events import EventMeta, Handler
from fleetkit.postgres.connection import FleetConnection

from conversation.agents import create_agent
from conversation.erasure import ERASURE
from conversation.presets import default_agent

_PUBLISHER = "fleetdesk"


async def on_tenant_created(
    conn: FleetConnection, event: gateway_events.TenantCreated, meta: EventMeta
) -> None:
    """Makes the tenant's first agent, published, under the id that the event reserves.

    Idempotent with CreateAgent of the same id, whichever comes first.
    """
    await create_agent(
        conn,
        meta.tenant_id,
        UUID(event.agent_id),
        default_agent(),
        publisher=_PUBLISHER,
        publish_now=True,
    )


HANDLERS: Mapping[str, Handler] = {
    "fleetdesk.gateway.v1.TenantCreated": on_tenant_created,
    "fleetdesk.gateway.v1.ErasureRequested": erasing(ERASURE),
    "fleetdesk.gateway.v1.ErasureFinished": finishing(),
}
