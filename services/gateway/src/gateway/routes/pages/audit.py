"""Settings → Audit: the log of what people and keys have changed."""

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from gateway.access import Access
from gateway.auth.principal import Role
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.api_keys import audit_page
from gateway.routes.pages.reading import asked
from gateway.routes.pages.showing import page, show
from gateway.store.audit import actor_names
from gateway.views.audit import PATH, audit_view

_LINES = 50
_OWN_ROWS = Access(role=Role.ADMIN, body="form", local=True)


@page("GET", PATH, _OWN_ROWS)
async def get_audit(request: GatewayRequest) -> Response:
    """Who did what, newest first."""
    parts, tenant_id = parts_of(request), request.user.tenant_id
    token = asked(request, "page_token")
    async with parts.db.tenant(tenant_id) as conn:
        rows, next_token = await audit_page(conn, tenant_id, _LINES, token)
        names = await actor_names(conn, tenant_id, [row.actor for row in rows])
    view = audit_view(rows, names, token, next_token, parts.clock.now())
    return show(request, "audit", "settings/audit.html", view=view)


HANDLERS: list[HTTPRouteHandler] = [get_audit]
