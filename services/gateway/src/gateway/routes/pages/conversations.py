"""Conversations: the list, and one with the reasons of its answers."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from fleetdesk.analytics.v1.analytics_service_pb2 import SummarizeCostsRequest
from fleetdesk.analytics.v1.cost_pb2 import COST_KEY_CONVERSATION
from fleetdesk.conversation.v1 import conversation_pb2
from fleetdesk.conversation.v1 import conversation_service_pb2 as pb
from fleetdesk.retrieval.v1.document_pb2 import SearchResult
from fleetdesk.retrieval.v1.retrieval_service_pb2 import GetChunksRequest
from fleetkit.errors import DeadlineExceeded, Unavailable
from fleetkit.ids import new_id
from fleetkit.rpc.fields import timestamp
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.pages.downloads import csv_file
from gateway.routes.pages.reading import asked, asked_of
from gateway.routes.pages.showing import page, render, show
from gateway.store.audit import actor_names
from gateway.views.conversations import (
    CSV_HEAD,
    OUTCOMES,
    PERIODS,
    STATUSES,
    Asked,
    conversation_list,
    csv_rows,
    person_of,
)
from gateway.views.forms import Form
from gateway.views.transcript import opened, transcript

_MAX_CHUNKS = 100
# For what a page does without when it is late.
_ASIDE_S = 2.0
_MAX_WAITING = 99
_MOST_WAITING = 200
_MAX_FILTER_CHARS = 200


@page("GET", "/conversations")
async def get_conversations(request: GatewayRequest) -> Response:
    """A page of the list, as CSV when asked so."""
    wanted = Asked(
        outcome=asked_of(request, "outcome", OUTCOMES),
        status=asked_of(request, "status", STATUSES),
        filter=asked(request, "filter")[:_MAX_FILTER_CHARS],
        period=asked_of(request, "period", PERIODS),
        page_token=asked(request, "page_token"),
        sort=asked(request, "sort"),
        descending=asked(request, "dir") == "desc",
    )
    now = parts_of(request).clock.now()
    found, beside = await asyncio.gather(
        _conversations(request, wanted, now), _with_person(request, wanted)
    )
    listed = [*found.conversations, *beside]
    costs, names = await asyncio.gather(
        _costs(request, [item.conversation_id for item in listed]), people(request, listed)
    )
    view = conversation_list(
        found.conversations,
        found.next_page_token,
        costs,
        wanted,
        now,
        names=names,
        with_person=beside,
    )
    if asked(request, "format") == "csv":
        return csv_file("conversations.csv", CSV_HEAD, csv_rows(view))
    entry = "waiting" if wanted.status == "waiting" else "conversations"
    return show(request, entry, "conversations/list.html", view=view)


@page("GET", "/waiting-count")
async def get_waiting_count(request: GatewayRequest) -> Response:
    """How many wait for a person, for the rail; nothing while that can't be told."""
    wanted = pb.ListConversationsRequest(
        status=conversation_pb2.CONVERSATION_STATUS_WAITING, page_size=_MAX_WAITING
    )
    try:
        found = await parts_of(request).clients.conversations.ListConversations(
            wanted, timeout=_ASIDE_S
        )
    except (Unavailable, DeadlineExceeded):
        return render(request, "conversations/_waiting_count.html", waiting="")
    more = "+" if found.next_page_token else ""
    waiting = f"{len(found.conversations)}{more}" if found.conversations else ""
    return render(request, "conversations/_waiting_count.html", waiting=waiting)


@page("GET", "/conversations/{conversation_id:uuid}")
async def get_conversation(request: GatewayRequest, conversation_id: FromPath[UUID]) -> Response:
    """A transcript, with the pane of the answer `answer`, or of the last one."""
    return await show_conversation(request, conversation_id, Form())


async def show_conversation(
    request: GatewayRequest, conversation_id: UUID, form: Form, status_code: int = 200
) -> Response:
    """The page of one conversation; `form` is the reply that is being written."""
    parts = parts_of(request)
    found = await call(
        parts.clients.conversations.GetConversation,
        pb.GetConversationRequest(conversation_id=str(conversation_id), with_receipts=True),
    )
    answer = opened(found.messages, asked(request, "answer"))
    chunks, names = await asyncio.gather(
        _chunks(request, answer), people(request, [found.conversation])
    )
    person = person_of(found.conversation, names)
    if found.conversation.taken_over_by == request.user.subject:
        person = "You"
    now = parts.clock.now()
    view = transcript(found.conversation, found.messages, answer, chunks, now, person=person)
    return show(
        request,
        "agent" if view.is_trial else "conversations",
        "conversations/detail.html",
        status_code=status_code,
        view=view,
        form=form,
        request_id=form["request_id"] or str(new_id()),
    )


async def _conversations(
    request: GatewayRequest, wanted: Asked, now: datetime
) -> pb.ListConversationsResponse:
    start = wanted.start(now)
    return await call(
        parts_of(request).clients.conversations.ListConversations,
        pb.ListConversationsRequest(
            status=STATUSES.get(wanted.status, conversation_pb2.CONVERSATION_STATUS_UNSPECIFIED),
            outcome=OUTCOMES.get(wanted.outcome, conversation_pb2.OUTCOME_UNSPECIFIED),
            filter=wanted.filter,
            start_time=timestamp(start) if start else None,
            # All who wait, so that who waits longest can stand first.
            page_size=_MOST_WAITING if wanted.status == "waiting" else 0,
            page_token=wanted.page_token,
        ),
    )


async def _with_person(
    request: GatewayRequest, wanted: Asked
) -> Sequence[conversation_pb2.Conversation]:
    """Beside those who wait: the latest that people have taken over."""
    if not wanted.only_waiting:
        return ()
    taken_over = pb.ListConversationsRequest(
        status=conversation_pb2.CONVERSATION_STATUS_TAKEN_OVER, page_size=_MOST_WAITING
    )
    listed = parts_of(request).clients.conversations.ListConversations
    return (await call(listed, taken_over)).conversations


async def people(
    request: GatewayRequest, listed: Sequence[conversation_pb2.Conversation]
) -> dict[str, str]:
    """What those are called who have taken conversations over, by id; of those that are left."""
    ids = {item.taken_over_by for item in listed if item.taken_over_by}
    if not ids:
        return {}
    tenant_id = request.user.tenant_id
    async with parts_of(request).db.tenant(tenant_id) as conn:
        return await actor_names(conn, tenant_id, sorted(ids))


async def _costs(request: GatewayRequest, conversation_ids: Sequence[str]) -> dict[str, int]:
    """Nano-dollars by conversation; none while analytics is away, which the list bears."""
    if not conversation_ids:
        return {}
    wanted = SummarizeCostsRequest(
        group_by=COST_KEY_CONVERSATION, conversation_ids=conversation_ids
    )
    try:
        sums = await parts_of(request).clients.analytics.SummarizeCosts(wanted, timeout=_ASIDE_S)
    except (Unavailable, DeadlineExceeded):
        return {}
    return {group.key: group.amount_nanos for group in sums.groups}


async def _chunks(
    request: GatewayRequest, answer: conversation_pb2.Message | None
) -> dict[str, SearchResult]:
    """The passages that an answer was made from, those that still exist."""
    passages: Sequence[conversation_pb2.PassageUsed] = answer.passages if answer else ()
    if not passages:
        return {}
    wanted = GetChunksRequest(chunk_ids=[used.chunk_id for used in passages[:_MAX_CHUNKS]])
    found = await call(parts_of(request).clients.retrieval.GetChunks, wanted)
    return {chunk.chunk_id: chunk for chunk in found.chunks}


HANDLERS: list[HTTPRouteHandler] = [get_conversations, get_waiting_count, get_conversation]
