"""What billing does when others say something happened."""

from collections.abc import Mapping

from fleetdesk.gateway.v1 import events_pb2 as gateway_events
from fleetkit.events import EventMeta, Handler
from fleetkit.postgres.connection import FleetConnection

from billing.plans import load_plans
from billing.subscriptions import ensure_subscription


async def on_tenant_created(
    conn: FleetConnection, event: gateway_events.TenantCreated, meta: EventMeta
) -> None:
    """Subscribes a new tenant where the sign-up itself did not get to it. Idempotent."""
    await ensure_subscription(conn, load_plans(), meta.tenant_id, event.plan_id)


HANDLERS: Mapping[str, Handler] = {"fleetdesk.gateway.v1.TenantCreated": on_tenant_created}
