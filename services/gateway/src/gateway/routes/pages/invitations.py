"""The page that an invitation's link opens."""

from fleetkit.errors import FleetError, NotFound
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.access import Access
from gateway.auth.sign_in import begin_session
from gateway.cookies import session_cookie
from gateway.invitations import Opened, accept, open_invitation
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.requests import client_ip_of
from gateway.routes.pages.reading import form_of
from gateway.routes.pages.showing import go, page, show_plain
from gateway.views.forms import Form
from gateway.views.team import welcome

_PAGE = "/invitations/{invitation_token:str}"
_ANYONE = Access(anonymous=True, body="form", limit="login", local=True)
_TOKEN_CHARS = 100


@page("GET", _PAGE, _ANYONE)
async def get_invitation(request: GatewayRequest, invitation_token: FromPath[str]) -> Response:
    """Whose desk it is, and the form; looking uses nothing up, since mail scanners look."""
    try:
        opened = await open_invitation(parts_of(request), invitation_token[:_TOKEN_CHARS])
    except NotFound:
        return _over(request)
    return _show(request, opened, Form())


@page("POST", _PAGE, _ANYONE)
async def post_invitation(request: GatewayRequest, invitation_token: FromPath[str]) -> Response:
    """Joins the team, and signs in."""
    parts, client_ip = parts_of(request), client_ip_of(request.scope)
    typed = await form_of(request, "password")
    try:
        opened = await open_invitation(parts, invitation_token[:_TOKEN_CHARS])
    except NotFound:
        return _over(request)
    try:
        user_id = await accept(parts, opened, typed["password"], client_ip)
    except NotFound:
        return _over(request)
    except FleetError as error:
        form = Form().refused(error, ("password",))
        return _show(request, opened, form, problem_of(error).status)
    session = await begin_session(parts.db, opened.tenant_id, user_id, client_ip)
    response = go("/", f"Welcome to {opened.company}.")
    response.cookies.append(session_cookie(parts.settings, session.token))
    return response


def _show(request: GatewayRequest, opened: Opened, form: Form, status_code: int = 200) -> Response:
    view = welcome(opened)
    template = "account/invitation.html"
    return show_plain(request, template, status_code=status_code, view=view, form=form)


def _over(request: GatewayRequest) -> Response:
    return show_plain(request, "account/invitation_over.html", status_code=404)


HANDLERS: list[HTTPRouteHandler] = [get_invitation, post_invitation]
