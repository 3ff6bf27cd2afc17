"""Conversations: beginning, reading and listing them; ratings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_service_pb2 as service_pb
from fleetdesk.conversation.v1 import events_pb2
from fleetdesk.llm_gateway.v1.usage_pb2 import Receipt
from fleetkit.errors import FailedPrecondition, InvalidArgument, NotFound
from fleetkit.events import publish
from fleetkit.ids import new_id
from fleetkit.postgres import FleetConnection

from conversation import receipts
from conversation.closing import text_of
from conversation.deps import Deps
from conversation.paging import page_token, read_page_token
from conversation.requests import once
from conversation.store import agents, messages
from conversation.store import conversations as store
from conversation.store.conversations import ConversationFilter, ConversationRow, Position
from conversation.store.messages import MessageRow

MAX_EXTERNAL_ID_CHARS = 256
MAX_MESSAGES = 500
MAX_PAGE = 200
DEFAULT_PAGE = 50
MAX_FILTER_CHARS = 200
# Conversations that one page looks for a filter in: some 40 ms.
MOST_LOOKED_AT = 10_000
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation with its messages, oldest first, and their receipts by message id.

    The text of a message that is being answered is what had been sent at `position`: listening
    from there brings exactly the rest.
    """

    conversation: ConversationRow
    messages: list[MessageRow]
    position: int
    receipts: Mapping[str, Receipt]


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """Conversations, the tenant's own ids of their visitors, and the token of the next page."""

    rows: list[ConversationRow]
    external_ids: Mapping[UUID, str]
    next_page_token: str


async def create(
    deps: Deps, tenant_id: UUID, agent_id: UUID, request: service_pb.CreateConversationRequest
) -> ConversationRow:
    """Begins a conversation on the agent's published version, with a known or a new visitor."""
    external_id = _checked_external_id(request.visitor_external_id)
    conversation_id = new_id()
    async with deps.db.tenant(tenant_id) as conn:
        known = await once(conn, tenant_id, request, conversation_id)
        if known is not None:
            return await existing(conn, tenant_id, known)
        agent = await agents.get_agent(conn, tenant_id, agent_id)
        if agent is None:
            raise NotFound("there is no such agent", field="agent_id")
        if agent.published_version == 0:
            raise FailedPrecondition(
                "the agent is not published: publish it before visitors can talk to it",
                field="agent_id",
                reason="AGENT_NOT_PUBLISHED",
            )
        visitor_id = await _visitor(conn, tenant_id, agent_id, external_id)
        await store.insert_conversation(
            conn, tenant_id, conversation_id, agent_id, agent.published_version, visitor_id
        )
        row = await existing(conn, tenant_id, conversation_id)
        started = events_pb2.ConversationStarted(
            conversation_id=str(conversation_id),
            agent_id=str(agent_id),
            agent_version=agent.published_version,
            visitor_id=str(visitor_id),
        )
        await publish(conn, started, revision=row.revision)
        return row


async def read(
    deps: Deps, tenant_id: UUID, conversation_id: UUID, *, with_receipts: bool
) -> Transcript:
    """A conversation with its last 500 messages. NotFound when there is none."""
    async with deps.db.tenant(tenant_id) as conn:
        conversation = await existing(conn, tenant_id, conversation_id)
        rows = await messages.transcript(conn, tenant_id, conversation_id, MAX_MESSAGES)
    found: Mapping[str, Receipt] = {}
    if with_receipts:
        found = await receipts.receipts_of_conversation(deps.neighbours, conversation_id)
    return Transcript(
        conversation=conversation,
        messages=[
            row.message if row.events is None else replace(row.message, text=text_of(row.events))
            for row in rows
        ],
        position=rows[-1].last_position if rows else conversation.last_position,
        receipts=found,
    )


async def list_page(
    deps: Deps, tenant_id: UUID, wanted: ConversationFilter, page_size: int, token: str
) -> ConversationPage:
    """A page of conversations, last changed first."""
    if not 0 <= page_size <= MAX_PAGE:
        raise InvalidArgument(
            f"page_size is {page_size}: give 1–{MAX_PAGE}, or 0 for {DEFAULT_PAGE}",
            field="page_size",
        )
    if len(wanted.filter) > MAX_FILTER_CHARS or _CONTROLS.search(wanted.filter):
        raise InvalidArgument(
            f"filter may have at most {MAX_FILTER_CHARS} characters, and no control characters",
            field="filter",
        )
    wanted = replace(wanted, filter=wanted.filter.strip())
    limit = page_size or DEFAULT_PAGE
    scope = f"{tenant_id} {wanted}".encode()
    after = read_page_token(token, scope)
    async with deps.db.tenant(tenant_id) as conn:
        rows = await store.list_conversations(
            conn, tenant_id, wanted, after, limit + 1, MOST_LOOKED_AT
        )
        last: Position | None = None
        if len(rows) > limit:
            rows = rows[:limit]
            last = rows[-1].update_time, rows[-1].conversation_id
        elif wanted.filter:
            last = await store.last_among(conn, tenant_id, wanted, after, MOST_LOOKED_AT)
        names = await store.external_ids(conn, tenant_id, [row.visitor_id for row in rows])
    return ConversationPage(rows, names, page_token(*last, scope) if last else "")


async def rate(
    deps: Deps, tenant_id: UUID, conversation_id: UUID, message_id: UUID, rating: int
) -> MessageRow:
    """Stores the visitor's rating of an answer; the last one counts."""
    if rating not in (-1, 0, 1):
        raise InvalidArgument(
            f"rating is {rating}: give 1 for up, -1 for down, 0 to take it back", field="rating"
        )
    async with deps.db.tenant(tenant_id) as conn:
        message = await messages.get_message(conn, tenant_id, message_id)
        if message is None or message.conversation_id != conversation_id:
            raise NotFound("there is no such message in this conversation", field="message_id")
        if message.role == "visitor":
            raise InvalidArgument("only answers are rated, not questions", field="message_id")
        await messages.set_rating(conn, tenant_id, message_id, rating)
    return replace(message, rating=rating)


def _checked_external_id(external_id: str) -> str | None:
    if len(external_id) > MAX_EXTERNAL_ID_CHARS or "\0" in external_id:
        raise InvalidArgument(
            f"visitor_external_id may have at most {MAX_EXTERNAL_ID_CHARS} characters, none NUL",
            field="visitor_external_id",
        )
    return external_id.strip() or None


async def _visitor(
    conn: FleetConnection, tenant_id: UUID, agent_id: UUID, external_id: str | None
) -> UUID:
    """The visitor of this agent that the tenant knows by this id, or a new one."""
    if external_id is not None:
        known = await store.find_visitor(conn, tenant_id, agent_id, external_id)
        if known is not None:
            return known
    visitor_id = new_id()
    if await store.insert_visitor(conn, tenant_id, visitor_id, agent_id, external_id):
        return visitor_id
    # Another request made the same visitor meanwhile, and has committed.
    known = await store.find_visitor(conn, tenant_id, agent_id, external_id or "")
    if known is None:
        raise LookupError("a visitor that conflicts exists")
    return known


async def existing(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID
) -> ConversationRow:
    """The conversation; NotFound when the tenant has none of this id."""
    row = await store.get_conversation(conn, tenant_id, conversation_id)
    if row is None:
        raise NotFound("there is no such conversation", field="conversation_id")
    return row
