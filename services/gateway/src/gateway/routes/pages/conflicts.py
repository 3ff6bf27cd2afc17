"""The page of conflicts between articles."""

from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.pages.reading import asked, asked_of
from gateway.routes.pages.showing import page, show
from gateway.views.conflicts import KINDS, PATH, conflicts_page

_ROWS = 25


@page("GET", PATH)
async def get_conflicts_page(request: GatewayRequest) -> Response:
    """What contradicts what, and what is said twice."""
    parts = parts_of(request)
    kind, page_token = asked_of(request, "kind", KINDS), asked(request, "page_token")
    wanted = pb.ListConflictsRequest(page_size=_ROWS, page_token=page_token)
    wanted.kind = KINDS[kind]  # pyright: ignore[reportAttributeAccessIssue] - a value of the enum
    found = await call(parts.clients.retrieval.ListConflicts, wanted)
    view = conflicts_page(found, parts.clock.now(), kind=kind, page_token=page_token)
    return show(request, "knowledge", "knowledge/conflicts.html", tab="conflicts", view=view)


HANDLERS: list[HTTPRouteHandler] = [get_conflicts_page]
