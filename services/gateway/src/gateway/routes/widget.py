"""Widget settings of an agent."""

from uuid import UUID

from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.parts import GatewayRequest, parts_of
from gateway.requests import client_ip_of
from gateway.shapes.agents import IdentitySecret, UpdateWidgetRequest, Widget

_TAGS = ["Widget"]


@endpoint(
    "GET",
    "/v1/agents/{agent_id:uuid}/widget",
    Access(role=Role.VIEWER, scope="agents:read", local=True),
    tags=_TAGS,
    summary="Get widget settings",
)
async def get_widget(request: GatewayRequest, agent_id: FromPath[UUID]) -> Widget:
    """Where an agent's widget may stand."""
    row = await parts_of(request).widgets.get(request.user.tenant_id, agent_id)
    return Widget.of(row)


@endpoint(
    "PUT",
    "/v1/agents/{agent_id:uuid}/widget",
    Access(role=Role.ADMIN, scope="agents:write", local=True),
    tags=_TAGS,
    summary="Change widget settings",
)
async def put_widget(
    request: GatewayRequest, agent_id: FromPath[UUID], data: JSONBody[UpdateWidgetRequest]
) -> Widget:
    """Replaces the origins whose pages may embed the widget; our own pages always may."""
    row = await parts_of(request).widgets.set_origins(
        request.user, agent_id, data.allowed_origins, client_ip_of(request.scope)
    )
    return Widget.of(row)


@endpoint(
    "POST",
    "/v1/agents/{agent_id:uuid}/widget/identity-secret",
    Access(role=Role.ADMIN, scope="agents:write", body="none", local=True),
    status_code=201,
    tags=_TAGS,
    summary="Make a new identity secret",
)
async def post_identity_secret(request: GatewayRequest, agent_id: FromPath[UUID]) -> IdentitySecret:
    """The secret your server signs visitors' tokens with, shown this once; the old one ends."""
    secret = await parts_of(request).widgets.rotate_secret(
        request.user, agent_id, client_ip_of(request.scope)
    )
    return IdentitySecret(secret)


HANDLERS: list[HTTPRouteHandler] = [get_widget, put_widget, post_identity_secret]
