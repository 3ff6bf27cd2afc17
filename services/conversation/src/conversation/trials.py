"""Trials: somebody who edits an agent talks with it as its draft says.

A trial is a conversation without a version. `Edit` keeps it from the bus and from those who wait,
`closing` from memory, and lists and figures leave it out; what it costs stands on the ledger.
"""

from uuid import UUID

from fleetdesk.conversation.v1 import conversation_service_pb2 as service_pb
from fleetkit.ids import new_id

from conversation.agents import existing as existing_agent
from conversation.conversations import existing
from conversation.deps import Deps
from conversation.requests import once
from conversation.store import conversations as store
from conversation.store.conversations import ConversationRow

KEEP_DAYS = 7


async def create(
    deps: Deps, tenant_id: UUID, agent_id: UUID, request: service_pb.CreateTrialRequest
) -> ConversationRow:
    """Begins a trial, with a visitor of its own, whom nobody has met before."""
    conversation_id, visitor_id = new_id(), new_id()
    async with deps.db.tenant(tenant_id) as conn:
        known = await once(conn, tenant_id, request, conversation_id)
        if known is not None:
            return await existing(conn, tenant_id, known)
        await existing_agent(conn, tenant_id, agent_id)
        await store.insert_visitor(conn, tenant_id, visitor_id, agent_id, None)
        await store.insert_conversation(
            conn, tenant_id, conversation_id, agent_id, None, visitor_id
        )
        return await existing(conn, tenant_id, conversation_id)
