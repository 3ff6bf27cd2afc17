"""Conflicts between articles, for people to settle."""

from typing import Annotated

from fleetdesk.retrieval.v1 import conflict_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.shapes.common import PageSize, PageToken
from gateway.shapes.knowledge_conflicts import Conflict, ConflictList, KindFilter

_KINDS = {
    None: conflict_pb2.CONFLICT_KIND_UNSPECIFIED,
    "duplicate": conflict_pb2.CONFLICT_KIND_DUPLICATE,
    "contradiction": conflict_pb2.CONFLICT_KIND_CONTRADICTION,
}


@endpoint(
    "GET",
    "/v1/knowledge/conflicts",
    Access(role=Role.VIEWER, scope="knowledge:read"),
    tags=["Knowledge"],
    summary="List conflicts between articles",
)
async def get_conflicts(
    request: GatewayRequest,
    kind: Annotated[
        KindFilter | None, QueryParameter(name="kind", description="Only those of this kind.")
    ] = None,
    page_size: PageSize = 50,
    page_token: PageToken = "",
) -> ConflictList:
    """Sentences of different documents that contradict each other, and passages that say the same.

    They are told by rules; a person decides. A pair goes when one of its documents changes.
    """
    found = await call(
        parts_of(request).clients.retrieval.ListConflicts,
        pb.ListConflictsRequest(kind=_KINDS[kind], page_size=page_size, page_token=page_token),
    )
    return ConflictList([Conflict.of(c) for c in found.conflicts], found.next_page_token)


HANDLERS: list[HTTPRouteHandler] = [get_conflicts]
