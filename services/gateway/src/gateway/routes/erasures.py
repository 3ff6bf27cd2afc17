"""Erasing a visitor or the whole company, and what became of it."""

from typing import Annotated
from uuid import UUID

from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.erasures import Requested, erase_tenant, erase_visitor, get_erasure, list_erasures
from gateway.origins import own_origin
from gateway.parts import GatewayRequest, parts_of
from gateway.requests import Head, client_ip_of
from gateway.shapes.common import IdPageToken, PageSize, id_of_token
from gateway.shapes.erasures import Erasure, ErasureList, RequestedErasure

_TAGS = ["Erasure"]
_READ = Access(role=Role.ADMIN, scope="erasures:read", local=True)
_LAST = UUID(int=(1 << 128) - 1)


@endpoint(
    "DELETE",
    "/v1/visitors/{visitor_id:uuid}",
    Access(role=Role.ADMIN, scope="erasures:write", body="none"),
    status_code=202,
    tags=_TAGS,
    summary="Erase a visitor",
)
async def delete_visitor(request: GatewayRequest, visitor_id: FromPath[UUID]) -> RequestedErasure:
    """Everything that any service keeps of a visitor; it can't be undone."""
    made = await erase_visitor(
        parts_of(request), request.user, visitor_id, client_ip_of(request.scope)
    )
    return _requested(request, made)


@endpoint(
    "DELETE",
    "/v1/tenant",
    Access(role=Role.OWNER, body="none", local=True),
    status_code=202,
    tags=_TAGS,
    summary="Erase the whole company",
)
async def delete_tenant(
    request: GatewayRequest,
    confirm: Annotated[
        str, QueryParameter(description="The company's name, as /v1/me tells it.", max_length=120)
    ],
) -> RequestedErasure:
    """Everything of the company, at once for those who sign in; it can't be undone."""
    made = await erase_tenant(parts_of(request), request.user, confirm, client_ip_of(request.scope))
    return _requested(request, made)


@endpoint("GET", "/v1/erasures", _READ, tags=_TAGS, summary="List erasures")
async def get_erasures(
    request: GatewayRequest, page_size: PageSize = 50, page_token: IdPageToken = ""
) -> ErasureList:
    """Newest first."""
    before = id_of_token(page_token) or _LAST
    found = await list_erasures(parts_of(request).db, request.user.tenant_id, page_size + 1, before)
    items = [Erasure.of(one) for one in found[:page_size]]
    more = len(found) > page_size
    return ErasureList(items, str(items[-1].erasure_id) if more else "")


@endpoint("GET", "/v1/erasures/{erasure_id:uuid}", _READ, tags=_TAGS, summary="Read an erasure")
async def get_one_erasure(request: GatewayRequest, erasure_id: FromPath[UUID]) -> Erasure:
    """Who has erased what, and who has not answered yet."""
    found = await get_erasure(parts_of(request).db, request.user.tenant_id, erasure_id)
    return Erasure.of(found)


def receipt_url(request: GatewayRequest, made: Requested) -> str:
    """Where the receipt is, for whoever has its token."""
    origin = own_origin(parts_of(request).settings, Head(request.scope))
    return f"{origin}/erasures/{made.token}"


def _requested(request: GatewayRequest, made: Requested) -> RequestedErasure:
    return RequestedErasure(Erasure.of(made.erasure), receipt_url(request, made))


HANDLERS: list[HTTPRouteHandler] = [delete_visitor, delete_tenant, get_erasures, get_one_erasure]
