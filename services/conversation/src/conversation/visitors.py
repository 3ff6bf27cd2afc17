"""Visitors: what there is of one, for whoever erases it."""

from uuid import UUID

from fleetkit.errors import FailedPrecondition, NotFound
from fleetkit.postgres import Database

from conversation.store import visitors as store
from conversation.store.visitors import VisitorRow

# The ids travel in one event.
MAX_CONVERSATIONS = 10_000


async def read(db: Database, tenant_id: UUID, visitor_id: UUID) -> VisitorRow:
    """A visitor with its conversations as they are at one moment.

    NotFound; FailedPrecondition when it has more than 10,000 conversations.
    """
    async with db.tenant(tenant_id) as conn:
        row = await store.get_visitor(conn, tenant_id, visitor_id, MAX_CONVERSATIONS + 1)
    if row is None:
        raise NotFound("there is no such visitor", field="visitor_id")
    if len(row.conversation_ids) > MAX_CONVERSATIONS:
        raise FailedPrecondition(
            f"the visitor has more than {MAX_CONVERSATIONS} conversations",
            reason="TOO_MANY_CONVERSATIONS",
        )
    return row
