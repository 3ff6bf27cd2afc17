"""The search lab, and documents to be read."""

import asyncio
from uuid import UUID

from fleetdesk.retrieval.v1 import document_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetkit.errors import FailedPrecondition, FleetError, InvalidArgument
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.agents import agents_listed, set_threshold, try_thresholds
from gateway.routes.pages.reading import asked, asked_number, asked_of, form_of
from gateway.routes.pages.showing import ADMINS, go, page, show
from gateway.views.document import Span, document_page
from gateway.views.format import sentence
from gateway.views.frame import link
from gateway.views.past_questions import PastQuestions, past_questions
from gateway.views.search import Knobs, Thresholds, search_lab, threshold_of, thresholds_of

_PAGE = "/knowledge/search"
_TOP_KS = ("5", "10", "20", "50")


@page("GET", _PAGE)
async def get_search(request: GatewayRequest) -> Response:
    """What retrieval finds for a query, stage by stage."""
    query, knobs = asked(request, "q"), _knobs(request)
    response, (thresholds, past) = await asyncio.gather(
        _search(request, query, knobs), _past(request, knobs)
    )
    view = search_lab(query, response, thresholds, knobs, past)
    return show(
        request,
        "knowledge",
        "knowledge/search.html",
        tab="search",
        query=query,
        view=view,
        top_ks=_TOP_KS,
    )


@page("POST", _PAGE + "/threshold", ADMINS)
async def post_threshold(request: GatewayRequest) -> Response:
    """Puts a threshold into an agent's draft; nothing is published."""
    typed = await form_of(request, "agent_id", "threshold", "q")
    try:
        agent_id, percent = UUID(typed["agent_id"]), min(max(int(typed["threshold"]), 1), 100)
        await set_threshold(request, agent_id, 10 * percent)
    except ValueError as error:
        raise InvalidArgument("choose an agent and a threshold from the page") from error
    except FailedPrecondition as error:
        return go(_PAGE, sentence(error.message), "bad")
    said = f"The draft answers from {percent} %. Visitors get it once the agent is published."
    return go(link(_PAGE, q=typed["q"], threshold=percent, agent=str(agent_id)), said)


@page("GET", "/documents/{document_id:uuid}")
async def get_document(request: GatewayRequest, document_id: FromPath[UUID]) -> Response:
    """A document, with the passage `chunk` marked and in it the quote `start`–`end`."""
    parts, chunk_id = parts_of(request), asked(request, "chunk")
    found, chunk = await asyncio.gather(
        call(
            parts.clients.retrieval.GetDocument,
            pb.GetDocumentRequest(document_id=str(document_id)),
        ),
        _chunk(request, chunk_id, document_id),
    )
    start, end = asked_number(request, "start"), asked_number(request, "end")
    view = document_page(
        found.document,
        parts.clock.now(),
        chunk,
        Span(start, end) if start is not None and end is not None else None,
        chunk_asked=bool(chunk_id),
    )
    return show(request, "knowledge", "knowledge/document.html", view=view)


def _knobs(request: GatewayRequest) -> Knobs:
    """As the address has them; what makes no sense there is as usual."""
    threshold = asked_number(request, "threshold")
    return Knobs(
        rerank=asked_of(request, "rerank", ("on", "off"), "on") == "on",
        top_k=int(asked_of(request, "top_k", _TOP_KS, "10")),
        threshold=None if threshold is None else min(threshold, 100),
    )


async def _search(request: GatewayRequest, query: str, knobs: Knobs) -> pb.SearchResponse | None:
    if not query:
        return None
    wanted = pb.SearchRequest(query=query, top_k=knobs.top_k, explain=True, rerank=knobs.rerank)
    return await call(parts_of(request).clients.retrieval.Search, wanted)


async def _past(
    request: GatewayRequest, knobs: Knobs
) -> tuple[Thresholds | None, PastQuestions | None]:
    """The thresholds of a published agent, and what the slider makes of its past questions.

    Without them the lab still shows what was found.
    """
    parts = parts_of(request)
    thresholds = None
    try:
        found = await agents_listed(request)
        thresholds = thresholds_of(found, asked(request, "agent"))
        if thresholds is None:
            return None, None
        millis = max(10 * threshold_of(thresholds, knobs), 1)
        trial = await try_thresholds(request, UUID(thresholds.agent_id), millis)
    except FleetError:
        return thresholds, None
    return thresholds, past_questions(trial, parts.clock.now())


async def _chunk(
    request: GatewayRequest, chunk_id: str, document_id: UUID
) -> document_pb2.SearchResult | None:
    """The chunk, if it is one of this document's; None also for what is no id."""
    try:
        wanted = pb.GetChunksRequest(chunk_ids=[str(UUID(chunk_id))])
    except ValueError:
        return None
    found = await call(parts_of(request).clients.retrieval.GetChunks, wanted)
    mine = (chunk for chunk in found.chunks if chunk.document_id == str(document_id))
    return next(mine, None)


HANDLERS: list[HTTPRouteHandler] = [get_search, post_threshold, get_document]
