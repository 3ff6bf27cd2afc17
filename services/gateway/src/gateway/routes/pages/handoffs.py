"""What a person does in a conversation: takes it over, replies, hands it back, resolves it."""

from uuid import UUID

from fleetdesk.conversation.v1 import conversation_service_pb2 as pb
from fleetkit.errors import FleetError, NotFound
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.routes.pages.conversations import show_conversation
from gateway.routes.pages.reading import form_of
from gateway.routes.pages.showing import EDITS, go, page
from gateway.shapes.conversations import MAX_TEXT_BYTES
from gateway.text import checked_text
from gateway.views.forms import Form


@page("POST", "/conversations/{conversation_id:uuid}/takeover", EDITS)
async def post_takeover_page(request: GatewayRequest, conversation_id: FromPath[UUID]) -> Response:
    """Puts whoever is signed in in charge; the agent is silent from then on."""
    await call(
        parts_of(request).clients.conversations.TakeOver,
        pb.TakeOverRequest(conversation_id=str(conversation_id)),
    )
    return _to_reply(
        conversation_id, "You have taken over. The agent is silent until you hand back."
    )


@page("POST", "/conversations/{conversation_id:uuid}/reply", EDITS)
async def post_reply_page(request: GatewayRequest, conversation_id: FromPath[UUID]) -> Response:
    """Sends a person's message; what was typed is kept when it can't be sent."""
    typed = await form_of(request, "text", "request_id")
    try:
        text = checked_text(typed["text"], "text", MAX_TEXT_BYTES)
        await call(
            parts_of(request).clients.conversations.Reply,
            pb.ReplyRequest(
                request_id=typed["request_id"], conversation_id=str(conversation_id), text=text
            ),
        )
    except NotFound:
        raise
    except FleetError as error:
        form = Form(typed).refused(error, ("text",))
        return await show_conversation(request, conversation_id, form, problem_of(error).status)
    return _to_reply(conversation_id)


@page("POST", "/conversations/{conversation_id:uuid}/handback", EDITS)
async def post_handback_page(request: GatewayRequest, conversation_id: FromPath[UUID]) -> Response:
    """Lets the agent answer again."""
    await call(
        parts_of(request).clients.conversations.HandBack,
        pb.HandBackRequest(conversation_id=str(conversation_id)),
    )
    return go(f"/conversations/{conversation_id}", "Handed back: the agent answers again.")


@page("POST", "/conversations/{conversation_id:uuid}/resolve", EDITS)
async def post_resolve_page(request: GatewayRequest, conversation_id: FromPath[UUID]) -> Response:
    """Ends the conversation; a further message of the visitor opens it again."""
    await call(
        parts_of(request).clients.conversations.ResolveConversation,
        pb.ResolveConversationRequest(conversation_id=str(conversation_id)),
    )
    said = "Resolved. Should the visitor write again, it opens again."
    return go(f"/conversations/{conversation_id}", said)


def _to_reply(conversation_id: UUID, said: str = "") -> Response:
    """To the field of the reply, which takes the focus."""
    return go(f"/conversations/{conversation_id}#f-text", said)


HANDLERS: list[HTTPRouteHandler] = [
    post_takeover_page,
    post_reply_page,
    post_handback_page,
    post_resolve_page,
]
