"""What llm-gateway does when others say something happened."""

from collections.abc import Mapping
from uuid import UUID

from fleetdesk.conversation.v1 import events_pb2 as conversation_events
from fleetdesk.gateway.v1 import events_pb2 as gateway_events
from fleetdesk.retrieval.v1 import events_pb2 as retrieval_events
from fleetkit.erasure import erasing, finishing
from fleetkit.events import EventMeta, Handler
from fleetkit.postgres.connection import FleetConnection
from fleetkit.postgres.tenants import remember_tenant

from llm_gateway.erasure import ERASURE
from llm_gateway.store.responses import forget_responses


async def on_tenant_created(
    conn: FleetConnection, _event: gateway_events.TenantCreated, meta: EventMeta
) -> None:
    """Learns of a tenant, whose open calls are swept from then on. Idempotent."""
    await remember_tenant(conn, meta.tenant_id)


async def on_knowledge_changed(
    conn: FleetConnection, _event: retrieval_events.KnowledgeChanged, meta: EventMeta
) -> None:
    """Forgets answers that were made from the knowledge before. Idempotent."""
    await forget_responses(conn, meta.tenant_id)


async def on_agent_published(
    conn: FleetConnection, event: conversation_events.AgentPublished, meta: EventMeta
) -> None:
    """Forgets the answers of an agent's versions before. Idempotent."""
    await forget_responses(conn, meta.tenant_id, UUID(event.agent_id))


HANDLERS: Mapping[str, Handler] = {
    "fleetdesk.gateway.v1.TenantCreated": on_tenant_created,
    "fleetdesk.retrieval.v1.KnowledgeChanged": on_knowledge_changed,
    "fleetdesk.conversation.v1.AgentPublished": on_agent_published,
    "fleetdesk.gateway.v1.ErasureRequested": erasing(ERASURE),
    "fleetdesk.gateway.v1.ErasureFinished": finishing(),
}
