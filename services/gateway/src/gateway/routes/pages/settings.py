"""Settings: the widget's installation and origins, API keys."""

from uuid import UUID

from fleetkit.errors import FleetError, NotFound
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.access import Access
from gateway.auth.keys import MAX_KEYS, NewKey, create_key, revoke_key
from gateway.auth.principal import ALL_SCOPES, Role
from gateway.origins import own_origin
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.rendering import WIDGET
from gateway.requests import Head, client_ip_of
from gateway.routes.agents import list_agents
from gateway.routes.pages.reading import asked, form_of
from gateway.routes.pages.showing import ADMINS, go, page, show
from gateway.store import api_keys as store
from gateway.text import checked_name
from gateway.views.forms import Form
from gateway.views.frame import link
from gateway.views.knowledge import is_confirmed
from gateway.views.settings import (
    KEY_ROLES,
    RevokeKey,
    chosen_agent,
    keys_page,
    published_agents,
    widget_page,
)

_OWN_ROWS = Access(role=Role.ADMIN, body="form", local=True)


@page("GET", "/settings/widget")
async def get_widget(request: GatewayRequest) -> Response:
    """The snippet to install, and where the widget may stand."""
    return await _show_widget(request, asked(request, "agent"), Form())


@page("POST", "/settings/widget", ADMINS)
async def post_widget(request: GatewayRequest) -> Response:
    """Replaces the origins where an agent's widget may stand."""
    typed = await form_of(request, "agent_id", "origins")
    try:
        agent_id = UUID(typed["agent_id"])
        await parts_of(request).widgets.set_origins(
            request.user, agent_id, typed["origins"].split(), client_ip_of(request.scope)
        )
    except ValueError as error:
        raise NotFound("there is no such agent", field="agent_id") from error
    except FleetError as error:
        named = Form(typed, {"origins": Form().refused(error, ()).problem})
        status_code = problem_of(error).status
        return await _show_widget(request, typed["agent_id"], named, status_code)
    return go(link("/settings/widget", agent=str(agent_id)), "The origins were saved.")


@page("GET", "/settings/api-keys", _OWN_ROWS)
async def get_keys(request: GatewayRequest) -> Response:
    """The keys."""
    return await _show_keys(request, Form({"role": "agent"}))


@page("POST", "/settings/api-keys", _OWN_ROWS)
async def post_key(request: GatewayRequest) -> Response:
    """Makes a key, and shows it this once."""
    typed = await form_of(request, "name", "role")
    try:
        wanted = NewKey(
            name=checked_name(typed["name"][:80], "name"),
            role=Role.of(typed["role"] if typed["role"] in dict(KEY_ROLES) else "viewer"),
            scopes=[ALL_SCOPES],
            creator=request.user.subject,
        )
        made = await create_key(
            parts_of(request).db, request.user, wanted, client_ip_of(request.scope)
        )
    except FleetError as error:
        form = Form(typed).refused(error, ("name",))
        return await _show_keys(request, form, status_code=problem_of(error).status)
    return await _show_keys(request, Form({"role": "agent"}), made.api_key)


@page("GET", "/settings/api-keys/{key_id:uuid}/revoke", _OWN_ROWS)
async def get_revoke(request: GatewayRequest, key_id: FromPath[UUID]) -> Response:
    """Asks whether to revoke."""
    view = await _revoke_view(request, key_id)
    return show(request, "api-keys", "settings/revoke_key.html", view=view)


@page("POST", "/settings/api-keys/{key_id:uuid}/revoke", _OWN_ROWS)
async def post_revoke(request: GatewayRequest, key_id: FromPath[UUID]) -> Response:
    """Revokes once its name was typed."""
    parts, typed = parts_of(request), await form_of(request, "confirm")
    view = await _revoke_view(request, key_id)
    if not is_confirmed(view.name, typed["confirm"]):
        error = f"Type “{view.name}” to revoke it; nothing was revoked."
        again = RevokeKey(view.key_id, view.name, view.prefix, error)
        return show(request, "api-keys", "settings/revoke_key.html", status_code=400, view=again)
    await revoke_key(
        parts.db, parts.authenticator, request.user, key_id, client_ip_of(request.scope)
    )
    return go("/settings/api-keys", f"“{view.name}” was revoked.")


async def _show_widget(
    request: GatewayRequest, agent_id: str, form: Form, status_code: int = 200
) -> Response:
    parts = parts_of(request)
    agents = published_agents(await list_agents(request))
    agent = chosen_agent(agents, agent_id)
    row = None
    if agent is not None:
        row = await parts.widgets.get(request.user.tenant_id, UUID(agent.agent_id))
    origin = own_origin(parts.settings, Head(request.scope))
    size = len(parts.pages.assets[WIDGET].encoded.get("gzip", b""))
    view = widget_page(agents, agent, row, origin, size)
    return show(
        request, "widget", "settings/widget.html", status_code=status_code, view=view, form=form
    )


async def _show_keys(
    request: GatewayRequest, form: Form, secret: str = "", status_code: int = 200
) -> Response:
    parts, tenant_id = parts_of(request), request.user.tenant_id
    async with parts.db.tenant(tenant_id) as conn:
        rows = await store.api_keys(conn, tenant_id, MAX_KEYS, None)
    view = keys_page(rows, parts.clock.now(), secret)
    return show(
        request,
        "api-keys",
        "settings/api_keys.html",
        status_code=status_code,
        view=view,
        form=form,
    )


async def _revoke_view(request: GatewayRequest, key_id: UUID) -> RevokeKey:
    tenant_id = request.user.tenant_id
    async with parts_of(request).db.tenant(tenant_id) as conn:
        row = await store.api_key(conn, tenant_id, key_id)
    if row is None or row.revoke_time is not None:
        raise NotFound("there is no such API key", field="key_id")
    return RevokeKey(key_id, row.name, row.prefix)


HANDLERS: list[HTTPRouteHandler] = [
    get_widget,
    post_widget,
    get_keys,
    post_key,
    get_revoke,
    post_revoke,
]
