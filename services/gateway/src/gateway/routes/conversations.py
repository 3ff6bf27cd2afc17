"""Conversations: begun, listed, read, and led by people."""

from typing import Annotated, Literal
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_pb2
from fleetdesk.conversation.v1 import conversation_service_pb2 as pb
from fleetkit import context
from fleetkit.ids import new_id
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.auth.visitor_tokens import Visit, mint_visitor_token
from gateway.clients import call
from gateway.origins import is_own_page
from gateway.parts import GatewayRequest, Parts, parts_of
from gateway.requests import Head
from gateway.routes.reading import request_id
from gateway.shapes.common import (
    TIME_SCHEMA,
    IdempotencyKey,
    PageSize,
    PageToken,
    stamp_of,
    value_of,
)
from gateway.shapes.conversations import (
    MAX_TEXT_BYTES,
    Conversation,
    ConversationDetail,
    ConversationList,
    CreateConversationRequest,
    CreatedConversation,
    Message,
    RatingRequest,
    TextRequest,
    message_of,
)
from gateway.text import NO_CONTROLS_PATTERN, checked_text

_TAGS = ["Conversations"]
_SCOPE_READ, _SCOPE_WRITE = "conversations:read", "conversations:write"
_MAX_PAGE = 200
_CREATE = Access(
    role=Role.AGENT,
    scope=_SCOPE_WRITE,
    anonymous=True,
    cross_origin=True,
    limit="conversation",
)
_READ = Access(role=Role.VIEWER, scope=_SCOPE_READ)
_WATCH = Access(role=Role.VIEWER, scope=_SCOPE_READ, visitor=True, cross_origin=True)
_LEAD = Access(role=Role.AGENT, scope=_SCOPE_WRITE, body="none")
_REPLY = Access(role=Role.AGENT, scope=_SCOPE_WRITE)
_VISIT = Access(role=Role.AGENT, scope=_SCOPE_WRITE, visitor=True, cross_origin=True, body="none")
_RATE = Access(role=Role.AGENT, scope=_SCOPE_WRITE, visitor=True, cross_origin=True)


@endpoint(
    "POST", "/v1/conversations", _CREATE, status_code=201, tags=_TAGS, summary="Begin to talk"
)
async def post_conversation(
    request: GatewayRequest,
    data: JSONBody[CreateConversationRequest],
    idempotency_key: IdempotencyKey = "",
) -> CreatedConversation:
    """A conversation with a published agent, and the token for its visitor's requests.

    Open to pages of the agent's allowed origins and to our own; from elsewhere with an API key.
    `visitor` proves who asks: a JWT, HS256, signed with the agent's identity secret.
    """
    if request.user is None:
        return await _begin_anonymously(request, data)
    parts, tenant_id = parts_of(request), request.user.tenant_id
    external_id = await _visitor(parts, tenant_id, data)
    async with request_id(request, idempotency_key, data) as key:
        return await _begin(parts, tenant_id, data.agent_id, key, external_id)


@endpoint("GET", "/v1/conversations", _READ, tags=_TAGS, summary="List conversations")
async def get_conversations(
    request: GatewayRequest,
    status: Annotated[
        Literal["open", "waiting", "taken_over", "resolved"] | None,
        QueryParameter(name="status", description="Only this status."),
    ] = None,
    outcome: Annotated[
        Literal["answered", "clarify", "handoff"] | None,
        QueryParameter(name="outcome", description="Only those whose last outcome is this."),
    ] = None,
    agent_id: Annotated[
        UUID | None, QueryParameter(name="agent_id", description="Only this agent's.")
    ] = None,
    containing: Annotated[
        str,
        QueryParameter(
            name="filter",
            max_length=200,
            description="Part of the title or of your own id of the visitor.",
            schema_extra={"pattern": NO_CONTROLS_PATTERN},
        ),
    ] = "",
    start: Annotated[
        str | None,
        QueryParameter(
            name="from", description="Changed last at this time or later.", schema_extra=TIME_SCHEMA
        ),
    ] = None,
    page_size: PageSize = 50,
    page_token: PageToken = "",
) -> ConversationList:
    """Conversations, last changed first.

    With a `filter` a page may have fewer than asked for, or none, and `next_page_token` lead to
    more: it looks among so many at once.
    """
    statuses, outcomes = conversation_pb2.ConversationStatus, conversation_pb2.Outcome
    found = await call(
        parts_of(request).clients.conversations.ListConversations,
        pb.ListConversationsRequest(
            status=value_of(statuses, status, "CONVERSATION_STATUS_", "status"),
            outcome=value_of(outcomes, outcome, "OUTCOME_", "outcome"),
            agent_id=str(agent_id) if agent_id else "",
            filter=containing,
            start_time=stamp_of(start, "from"),
            page_size=min(page_size, _MAX_PAGE),
            page_token=page_token,
        ),
    )
    items = [Conversation.of(conversation) for conversation in found.conversations]
    return ConversationList(items, found.next_page_token)


@endpoint(
    "GET",
    "/v1/conversations/{conversation_id:uuid}",
    _WATCH,
    tags=_TAGS,
    summary="Get a conversation",
)
async def get_conversation(
    request: GatewayRequest, conversation_id: FromPath[UUID]
) -> ConversationDetail:
    """A conversation with its messages, for the tenant's people with receipts."""
    for_visitor = request.user.credential == "visitor"
    found = await call(
        parts_of(request).clients.conversations.GetConversation,
        pb.GetConversationRequest(
            conversation_id=str(conversation_id), with_receipts=not for_visitor
        ),
    )
    return ConversationDetail(
        conversation=Conversation.of(found.conversation),
        messages=[message_of(message, for_visitor=for_visitor) for message in found.messages],
        position=found.position,
    )


@endpoint(
    "POST",
    "/v1/conversations/{conversation_id:uuid}/handoff",
    _VISIT,
    tags=_TAGS,
    summary="Ask for a person",
)
async def post_handoff(request: GatewayRequest, conversation_id: FromPath[UUID]) -> Conversation:
    """Asks for a person on the visitor's behalf; the agent answers until one takes over."""
    changed = await call(
        parts_of(request).clients.conversations.RequestHandoff,
        pb.RequestHandoffRequest(conversation_id=str(conversation_id)),
    )
    return Conversation.of(changed.conversation)


@endpoint(
    "POST",
    "/v1/conversations/{conversation_id:uuid}/takeover",
    _LEAD,
    tags=_TAGS,
    summary="Take over",
)
async def post_takeover(request: GatewayRequest, conversation_id: FromPath[UUID]) -> Conversation:
    """Puts a person in charge; the agent is silent until handed back."""
    changed = await call(
        parts_of(request).clients.conversations.TakeOver,
        pb.TakeOverRequest(conversation_id=str(conversation_id)),
    )
    return Conversation.of(changed.conversation)


@endpoint(
    "POST",
    "/v1/conversations/{conversation_id:uuid}/reply",
    _REPLY,
    status_code=201,
    tags=_TAGS,
    summary="Reply as a person",
)
async def post_reply(
    request: GatewayRequest,
    conversation_id: FromPath[UUID],
    data: JSONBody[TextRequest],
    idempotency_key: IdempotencyKey = "",
) -> Message:
    """Posts a person's message; 409 unless a person has taken over."""
    text = checked_text(data.text, "text", MAX_TEXT_BYTES)
    async with request_id(request, idempotency_key, data) as key:
        posted = await call(
            parts_of(request).clients.conversations.Reply,
            pb.ReplyRequest(request_id=str(key), conversation_id=str(conversation_id), text=text),
        )
    return message_of(posted.message, for_visitor=False)


@endpoint(
    "POST",
    "/v1/conversations/{conversation_id:uuid}/handback",
    _LEAD,
    tags=_TAGS,
    summary="Hand back",
)
async def post_handback(request: GatewayRequest, conversation_id: FromPath[UUID]) -> Conversation:
    """Lets the agent answer again."""
    changed = await call(
        parts_of(request).clients.conversations.HandBack,
        pb.HandBackRequest(conversation_id=str(conversation_id)),
    )
    return Conversation.of(changed.conversation)


@endpoint(
    "POST",
    "/v1/conversations/{conversation_id:uuid}/resolve",
    _LEAD,
    tags=_TAGS,
    summary="Resolve",
)
async def post_resolve(request: GatewayRequest, conversation_id: FromPath[UUID]) -> Conversation:
    """Ends a conversation; a further message opens it again."""
    changed = await call(
        parts_of(request).clients.conversations.ResolveConversation,
        pb.ResolveConversationRequest(conversation_id=str(conversation_id)),
    )
    return Conversation.of(changed.conversation)


@endpoint(
    "POST",
    "/v1/conversations/{conversation_id:uuid}/rating",
    _RATE,
    tags=_TAGS,
    summary="Rate an answer",
)
async def post_rating(
    request: GatewayRequest, conversation_id: FromPath[UUID], data: JSONBody[RatingRequest]
) -> Message:
    """Stores the visitor's rating of an answer; the last one counts."""
    rated = await call(
        parts_of(request).clients.conversations.RateMessage,
        pb.RateMessageRequest(
            conversation_id=str(conversation_id),
            message_id=str(data.message_id),
            rating=data.rating,
        ),
    )
    return message_of(rated.message, for_visitor=request.user.credential == "visitor")


async def _begin_anonymously(
    request: GatewayRequest, data: CreateConversationRequest
) -> CreatedConversation:
    """From a page: ours, or one of the agent's allowed origins."""
    parts, head = parts_of(request), Head(request.scope)
    tenant_id = await parts.widgets.tenant_of(data.agent_id)
    origin = head.get(b"origin")
    said = origin or head.get(b"sec-fetch-site")
    if not (said and is_own_page(parts.settings, head)):
        await parts.widgets.check_origin(tenant_id, data.agent_id, origin)
    external_id = await _visitor(parts, tenant_id, data)
    with context.background(tenant_id), context.deadline_in(_CREATE.timeout_s):
        return await _begin(parts, tenant_id, data.agent_id, new_id(), external_id)


async def _visitor(parts: Parts, tenant_id: UUID, data: CreateConversationRequest) -> str:
    if data.visitor is None:
        return ""
    return await parts.widgets.visitor_of(tenant_id, data.agent_id, data.visitor)


async def _begin(
    parts: Parts, tenant_id: UUID, agent_id: UUID, key: UUID, external_id: str
) -> CreatedConversation:
    made = await call(
        parts.clients.conversations.CreateConversation,
        pb.CreateConversationRequest(
            request_id=str(key), agent_id=str(agent_id), visitor_external_id=external_id
        ),
    )
    conversation = made.conversation
    visit = Visit(
        tenant_id=tenant_id,
        agent_id=agent_id,
        conversation_id=UUID(conversation.conversation_id),
        visitor_id=UUID(conversation.visitor_id),
    )
    token = mint_visitor_token(parts.keyring, visit)
    return CreatedConversation(conversation.conversation_id, token)


HANDLERS: list[HTTPRouteHandler] = [
    post_conversation,
    get_conversations,
    get_conversation,
    post_handoff,
    post_takeover,
    post_reply,
    post_handback,
    post_resolve,
    post_rating,
]
