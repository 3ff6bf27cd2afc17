"""The page of conflicts between articles: looked at, dismissed, opened again."""

from uuid import UUID

from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.knowledge_conflicts import dismiss_conflict, restore_conflict
from gateway.routes.pages.reading import asked, asked_of
from gateway.routes.pages.showing import EDITS, go, page, show
from gateway.views.conflicts import DISMISSED, KINDS, PATH, conflicts_page

_ROWS = 25


@page("GET", PATH)
async def get_conflicts_page(request: GatewayRequest) -> Response:
    """What contradicts what, and what is said twice."""
    parts = parts_of(request)
    kind, page_token = asked_of(request, "kind", KINDS), asked(request, "page_token")
    wanted = pb.ListConflictsRequest(
        page_size=_ROWS, page_token=page_token, dismissed=kind == DISMISSED
    )
    wanted.kind = KINDS[kind]  # pyright: ignore[reportAttributeAccessIssue] - a value of the enum
    found = await call(parts.clients.retrieval.ListConflicts, wanted)
    view = conflicts_page(found, parts.clock.now(), kind=kind, page_token=page_token)
    return show(request, "knowledge", "knowledge/conflicts.html", tab="conflicts", view=view)


@page("POST", PATH + "/{conflict_id:uuid}/dismiss", EDITS)
async def post_dismiss(request: GatewayRequest, conflict_id: FromPath[UUID]) -> Response:
    """Lets a pair stand until one of its passages changes."""
    await dismiss_conflict(request, conflict_id)
    return go(PATH, "Dismissed. It comes back when one of the two passages changes.")


@page("POST", PATH + "/{conflict_id:uuid}/restore", EDITS)
async def post_restore(request: GatewayRequest, conflict_id: FromPath[UUID]) -> Response:
    """Lists a pair among the open ones again."""
    await restore_conflict(request, conflict_id)
    return go(PATH, "It is listed again.")


HANDLERS: list[HTTPRouteHandler] = [get_conflicts_page, post_dismiss, post_restore]
