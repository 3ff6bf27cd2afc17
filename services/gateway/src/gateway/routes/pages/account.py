"""Signing up, in and out, and how the pages look."""

from fleetkit.errors import FleetError
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from gateway.access import Access
from gateway.auth import sign_in as signing_in
from gateway.auth.principal import Role
from gateway.cookies import ended_cookie, session_cookie
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.requests import client_ip_of
from gateway.routes.identity import log_in
from gateway.routes.pages.reading import form_of
from gateway.routes.pages.showing import ANYONE, go, own_path, page, show_plain, theme_cookie
from gateway.sign_up import sign_up
from gateway.views.forms import Form

_LOG_IN_FIELDS = ("email", "password")
_SIGN_UP_FIELDS = ("company", "email", "password")
_THEMES = ("system", "light", "dark")


@page("GET", "/login", Access(role=Role.VIEWER, anonymous=True, body="none"))
async def get_login(request: GatewayRequest) -> Response:
    """The form; whoever is signed in goes on."""
    next_path = own_path(request.query_params.get("next", "/"))
    if request.user is not None:
        return go(next_path)
    return show_plain(request, "account/login.html", form=Form({"next": next_path}))


@page("POST", "/login", Access(anonymous=True, body="form", limit="login", local=True))
async def post_login(request: GatewayRequest) -> Response:
    """Begins a session."""
    typed = await form_of(request, "email", "password", "next")
    form = Form({"email": typed["email"], "next": own_path(typed["next"])})
    try:
        signed_in = await log_in(request, typed["email"], typed["password"])
    except FleetError as error:
        return _again(request, "account/login.html", form.refused(error, _LOG_IN_FIELDS), error)
    response = go(form["next"])
    response.cookies.append(session_cookie(parts_of(request).settings, signed_in.token))
    return response


@page("GET", "/signup", ANYONE)
async def get_signup(request: GatewayRequest) -> Response:
    """The form."""
    return show_plain(request, "account/signup.html", form=Form())


@page("POST", "/signup", Access(anonymous=True, body="form", limit="signup", timeout_s=30))
async def post_signup(request: GatewayRequest) -> Response:
    """Makes the company's account and signs its first person in."""
    typed = await form_of(request, "company", "email", "password")
    parts, client_ip = parts_of(request), client_ip_of(request.scope)
    form = Form({"company": typed["company"], "email": typed["email"]})
    try:
        made = await sign_up(parts, typed["email"], typed["password"], typed["company"], client_ip)
    except FleetError as error:
        return _again(request, "account/signup.html", form.refused(error, _SIGN_UP_FIELDS), error)
    session = await signing_in.begin_session(parts.db, made.tenant_id, made.user_id, client_ip)
    response = go("/knowledge", "Welcome. Give your agent something to know, then try the widget.")
    response.cookies.append(session_cookie(parts.settings, session.token))
    return response


@page("POST", "/logout", Access(role=Role.VIEWER, body="form", local=True))
async def post_logout(request: GatewayRequest) -> Response:
    """Ends the session."""
    parts = parts_of(request)
    await signing_in.sign_out(parts.db, parts.authenticator, request.user)
    response = go("/login")
    response.cookies.append(ended_cookie(parts.settings))
    return response


@page("POST", "/preferences/theme", Access(role=Role.VIEWER, body="form", local=True))
async def post_theme(request: GatewayRequest) -> Response:
    """Light, dark, or as the system: remembered in this browser."""
    typed = await form_of(request, "theme", "next")
    theme = typed["theme"] if typed["theme"] in _THEMES else "system"
    response = go(own_path(typed["next"]))
    response.cookies.append(theme_cookie(theme))
    return response


def _again(request: GatewayRequest, template: str, form: Form, error: FleetError) -> Response:
    status_code = problem_of(error).status
    return show_plain(request, template, status_code=status_code, form=form)


HANDLERS: list[HTTPRouteHandler] = [
    get_login,
    post_login,
    get_signup,
    post_signup,
    post_logout,
    post_theme,
]
