"""The search lab, and documents to be read."""

import asyncio
from uuid import UUID

from fleetdesk.conversation.v1.agent_service_pb2 import ListAgentsRequest
from fleetdesk.retrieval.v1 import document_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetkit.errors import FleetError
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.pages.reading import asked, asked_number, asked_of
from gateway.routes.pages.showing import page, show
from gateway.views.document import Span, document_page
from gateway.views.search import Knobs, SearchLab, Thresholds, search_lab, thresholds_of

_TOP_KS = ("5", "10", "20", "50")


@page("GET", "/knowledge/search")
async def get_search(request: GatewayRequest) -> Response:
    """What retrieval finds for a query, stage by stage."""
    query, knobs = asked(request, "q"), _knobs(request)
    view = SearchLab("", knobs)
    if query:
        response, thresholds = await asyncio.gather(
            _search(request, query, knobs), _thresholds(request)
        )
        view = search_lab(query, response, thresholds, knobs)
    return show(
        request,
        "knowledge",
        "knowledge/search.html",
        tab="search",
        query=query,
        view=view,
        top_ks=_TOP_KS,
    )


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


async def _search(request: GatewayRequest, query: str, knobs: Knobs) -> pb.SearchResponse:
    wanted = pb.SearchRequest(query=query, top_k=knobs.top_k, explain=True, rerank=knobs.rerank)
    return await call(parts_of(request).clients.retrieval.Search, wanted)


async def _thresholds(request: GatewayRequest) -> Thresholds | None:
    """Those of the first published agent; without them the lab still shows what was found."""
    try:
        found = await call(parts_of(request).clients.agents.ListAgents, ListAgentsRequest())
    except FleetError:
        return None
    return thresholds_of(found)


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


HANDLERS: list[HTTPRouteHandler] = [get_search, get_document]
