"""What llm-gateway does when others say something happened."""

from collections.abc import Mapping

from fleetdesk.gateway.v1 import events_pb2 as gateway_events
from fleetkit.erasure import erasing, finishing
from fleetkit.events import EventMeta, Handler
from fleetkit.postgres.connection import FleetConnection
from fleetkit.postgres.tenants import remember_tenant

from llm_gateway.erasure import ERASURE


async def on_tenant_created(
    conn: FleetConnection, _event: gateway_events.TenantCreated, meta: EventMeta
) -> None:
    """Learns of a tenant, whose open calls are swept from then on. Idempotent."""
    await remember_tenant(conn, meta.tenant_id)


HANDLERS: Mapping[str, Handler] = {
    "fleetdesk.gateway.v1.TenantCreated": on_tenant_created,
    "fleetdesk.gateway.v1.ErasureRequested": erasing(ERASURE),
    "fleetdesk.gateway.v1.ErasureFinished": finishing(),
}
