"""Asking, listening and stopping."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_pb2
from fleetdesk.conversation.v1 import conversation_service_pb2 as pb
from fleetkit.errors import InvalidArgument, Unavailable
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream

from gateway import sse, turns
from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.reading import request_id, wants_stream
from gateway.shapes.common import IdempotencyKey
from gateway.shapes.conversations import (
    MAX_TEXT_BYTES,
    Answer,
    CanceledTurn,
    Receipt,
    TextRequest,
)
from gateway.text import checked_text

_TAGS = ["Conversations"]
_ASK = Access(
    role=Role.AGENT,
    scope="conversations:write",
    visitor=True,
    cross_origin=True,
    limit="message",
    timeout_s=turns.TURN_S,
    stream=True,
)
_LISTEN = Access(
    role=Role.VIEWER, scope="conversations:read", visitor=True, cross_origin=True, stream=True
)
_STOP = Access(
    role=Role.AGENT, scope="conversations:write", visitor=True, cross_origin=True, body="none"
)
# Whether a conversation may be listened to is known by then; its next event may be far away.
_LISTEN_PATIENCE_S = 0.25
_STREAM_HEADERS = {"X-Accel-Buffering": "no"}
_STREAM_SPEC = {
    200: ResponseSpec(
        str,
        generate_examples=False,
        description="Server-sent events, each with `id: <message_id>:<n>`.",
        media_type=sse.MEDIA_TYPE,
    )
}


@endpoint(
    "POST",
    "/v1/conversations/{conversation_id:uuid}/messages",
    _ASK,
    tags=_TAGS,
    summary="Ask",
)
async def post_message(
    request: GatewayRequest,
    conversation_id: FromPath[UUID],
    data: JSONBody[TextRequest],
    idempotency_key: IdempotencyKey = "",
) -> Response[Answer]:
    """Stores the visitor's question and answers it.

    With `Accept: text/event-stream` the answer comes as it is written: `message.started`,
    `message.delta`, `message.citations`, maybe `handoff`, then `message.completed` or `error`.
    Otherwise it comes whole. It is written to its end whoever listens.
    """
    text = checked_text(data.text, "text", MAX_TEXT_BYTES)
    parts = parts_of(request)
    if wants_stream(request):
        async with request_id(request, idempotency_key, data, join=True) as key:
            feed = sse.Feed(turns.answer(parts, conversation_id, key, text))
        await feed.begin()
        return _stream(request, feed)
    async with request_id(request, idempotency_key, data, lease_s=turns.TURN_S) as key:
        events = turns.answer(parts, conversation_id, key, text)
        return await _whole(events)


@endpoint(
    "GET",
    "/v1/conversations/{conversation_id:uuid}/events",
    _LISTEN,
    responses=_STREAM_SPEC,
    tags=_TAGS,
    summary="Listen",
)
async def get_events(
    request: GatewayRequest,
    conversation_id: FromPath[UUID],
    last_event_id: Annotated[
        str,
        HeaderParameter(
            name="Last-Event-ID", max_length=100, description="The last event that was heard."
        ),
    ] = "",
    after: Annotated[
        str,
        QueryParameter(
            name="after",
            max_length=100,
            description="The same as Last-Event-ID, or a position that a conversation was read at.",
        ),
    ] = "",
) -> Response[Any]:
    """The conversation's events after the given one, then those to come.

    Turns as in asking, `message.posted` for whole messages of visitors and persons, `status`
    when it changes. Comments keep the connection; it ends when the credential does.
    """
    watching = pb.WatchConversationRequest(conversation_id=str(conversation_id))
    _begin_after(watching, last_event_id or after)
    parts = parts_of(request)
    feed = sse.Feed(turns.watch(parts, request.user, watching), parts.slots.ending)
    await feed.begin(_LISTEN_PATIENCE_S)
    return _stream(request, feed)


@endpoint(
    "POST",
    "/v1/conversations/{conversation_id:uuid}/cancel",
    _STOP,
    tags=_TAGS,
    summary="Stop the answer",
)
async def post_cancel(request: GatewayRequest, conversation_id: FromPath[UUID]) -> CanceledTurn:
    """Stops the answer being written, if any; what was sent is kept."""
    stopped = await call(
        parts_of(request).clients.conversations.CancelTurn,
        pb.CancelTurnRequest(conversation_id=str(conversation_id)),
    )
    return CanceledTurn(stopped.message_id or None)


def _begin_after(watching: pb.WatchConversationRequest, after: str) -> None:
    if not after:
        return
    if after.isascii() and after.isdigit():
        watching.after_position = min(int(after), (1 << 63) - 1)
        return
    message_id, _, sequence = after.rpartition(":")
    try:
        UUID(message_id)
        known = sequence.isascii() and sequence.isdigit()
    except ValueError:
        known = False
    if not known:
        raise InvalidArgument(
            "this is no event's id: send the last `<message_id>:<n>`, or nothing",
            field="Last-Event-ID",
        )
    watching.after_event = after


def _stream(request: GatewayRequest, feed: sse.Feed) -> Response[Any]:
    for_visitor = request.user.credential == "visitor"
    return Stream(
        sse.encoded(feed, for_visitor=for_visitor),
        media_type=sse.MEDIA_TYPE,
        headers=_STREAM_HEADERS,
    )


async def _whole(
    events: AsyncGenerator[conversation_pb2.TurnEvent, None],
) -> Response[Any]:
    """The answer that the events end with; a problem when it could not be finished."""
    last: conversation_pb2.TurnEvent | None = None
    async with aclosing(events):
        async for event in events:
            last = event
    kind = last.WhichOneof("event") if last is not None else None
    if last is not None and kind == "finished":
        return Response(Answer.of(last.finished.message))
    if last is not None and kind == "failed":
        return sse.turn_problem(last.failed).response()
    if last is not None and kind == "posted":
        # A person has taken over: the message is stored, the agent is silent.
        return Response(_silent(last.message_id))
    raise Unavailable("the answer broke off: ask again with the same Idempotency-Key")


def _silent(message_id: str) -> Answer:
    return Answer(message_id, "", [], None, None, None, None, "taken_over", Receipt(0, []))


HANDLERS: list[HTTPRouteHandler] = [post_message, get_events, post_cancel]
