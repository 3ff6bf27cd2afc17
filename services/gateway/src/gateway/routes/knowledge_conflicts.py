"""Conflicts between articles, for people to settle."""

from typing import Annotated
from uuid import UUID

from fleetdesk.retrieval.v1 import conflict_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.noting import note
from gateway.shapes.common import IdPageToken, PageSize
from gateway.shapes.knowledge_conflicts import Conflict, ConflictList, KindFilter

_TAGS = ["Knowledge"]
_ACT = Access(role=Role.AGENT, scope="knowledge:write", body="none")
_KINDS = {
    None: conflict_pb2.CONFLICT_KIND_UNSPECIFIED,
    "duplicate": conflict_pb2.CONFLICT_KIND_DUPLICATE,
    "contradiction": conflict_pb2.CONFLICT_KIND_CONTRADICTION,
}


@endpoint(
    "GET",
    "/v1/knowledge/conflicts",
    Access(role=Role.VIEWER, scope="knowledge:read"),
    tags=_TAGS,
    summary="List conflicts between articles",
)
async def get_conflicts(
    request: GatewayRequest,
    kind: Annotated[
        KindFilter | None, QueryParameter(name="kind", description="Only those of this kind.")
    ] = None,
    dismissed: Annotated[
        bool, QueryParameter(name="dismissed", description="Those that were dismissed.")
    ] = False,
    page_size: PageSize = 50,
    page_token: IdPageToken = "",
) -> ConflictList:
    """Sentences of different documents that contradict each other, and passages that say the same.

    They are told by rules; a person decides: mends a document, or dismisses the pair. A pair goes
    when one of its two passages does.
    """
    found = await call(
        parts_of(request).clients.retrieval.ListConflicts,
        pb.ListConflictsRequest(
            kind=_KINDS[kind], dismissed=dismissed, page_size=page_size, page_token=page_token
        ),
    )
    return ConflictList(
        [Conflict.of(conflict) for conflict in found.conflicts],
        found.next_page_token,
        found.open_count,
        found.dismissed_count,
    )


@endpoint(
    "POST",
    "/v1/knowledge/conflicts/{conflict_id:uuid}/dismiss",
    _ACT,
    tags=_TAGS,
    summary="Dismiss a conflict",
)
async def post_conflict_dismiss(request: GatewayRequest, conflict_id: FromPath[UUID]) -> Conflict:
    """Lets it stand until one of its two passages changes."""
    return Conflict.of(await dismiss_conflict(request, conflict_id))


@endpoint(
    "POST",
    "/v1/knowledge/conflicts/{conflict_id:uuid}/restore",
    _ACT,
    tags=_TAGS,
    summary="Open a dismissed conflict again",
)
async def post_conflict_restore(request: GatewayRequest, conflict_id: FromPath[UUID]) -> Conflict:
    """Lists it among the open ones again."""
    return Conflict.of(await restore_conflict(request, conflict_id))


async def dismiss_conflict(request: GatewayRequest, conflict_id: UUID) -> conflict_pb2.Conflict:
    """Dismisses it, and says so in the audit log; also for the page."""
    found = await call(
        parts_of(request).clients.retrieval.DismissConflict,
        pb.DismissConflictRequest(conflict_id=str(conflict_id)),
    )
    await note(request, "conflict.dismissed", str(conflict_id))
    return found.conflict


async def restore_conflict(request: GatewayRequest, conflict_id: UUID) -> conflict_pb2.Conflict:
    """Opens it again, and says so in the audit log; also for the page."""
    found = await call(
        parts_of(request).clients.retrieval.RestoreConflict,
        pb.RestoreConflictRequest(conflict_id=str(conflict_id)),
    )
    await note(request, "conflict.restored", str(conflict_id))
    return found.conflict


HANDLERS: list[HTTPRouteHandler] = [
    get_conflicts,
    post_conflict_dismiss,
    post_conflict_restore,
]
