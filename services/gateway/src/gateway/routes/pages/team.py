"""Settings → Team: people, roles, invitations."""

from uuid import UUID

from fleetkit.errors import FleetError, NotFound
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.access import Access
from gateway.auth.principal import Role
from gateway.invitations import Sent, invite, resend, withdraw
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.requests import client_ip_of
from gateway.routes.pages.reading import form_of
from gateway.routes.pages.showing import go, page, show
from gateway.routes.team import origin_of
from gateway.store import api_keys, invitations, members
from gateway.store.audit import actor_names
from gateway.team import MAX_PEOPLE, change_role, remove_member
from gateway.views.forms import Form
from gateway.views.knowledge import is_confirmed
from gateway.views.team import RemoveMember, remove_member_view, team_page

_PAGE = "/settings/team"
_MEMBER = f"{_PAGE}/{{user_id:uuid}}"
_INVITATION = f"{_PAGE}/invitations/{{invitation_id:uuid}}"
_EVERYBODY = Access(role=Role.VIEWER, body="form", local=True)
_ADMINS = Access(role=Role.ADMIN, body="form", local=True)
_ROLES = {role.label: role for role in Role}


@page("GET", _PAGE, _EVERYBODY)
async def get_team(request: GatewayRequest) -> Response:
    """Who can sign in; to admins also who was invited."""
    return await _show(request, Form({"role": "agent"}))


@page("POST", f"{_PAGE}/invitations", _ADMINS)
async def post_invitation(request: GatewayRequest) -> Response:
    """Invites somebody."""
    typed = await form_of(request, "email", "role")
    role = _role_of(typed["role"])
    try:
        sent = await invite(
            parts_of(request),
            request.user,
            typed["email"],
            role,
            origin_of(request),
            client_ip_of(request.scope),
        )
    except FleetError as error:
        form = Form(typed).refused(error, ("email",))
        return await _show(request, form, status_code=problem_of(error).status)
    return await _sent(request, sent)


@page("POST", f"{_INVITATION}/resend", _ADMINS)
async def post_resend(request: GatewayRequest, invitation_id: FromPath[UUID]) -> Response:
    """Sends another link."""
    sent = await resend(
        parts_of(request),
        request.user,
        invitation_id,
        origin_of(request),
        client_ip_of(request.scope),
    )
    return await _sent(request, sent)


@page("POST", f"{_INVITATION}/withdraw", _ADMINS)
async def post_withdraw(request: GatewayRequest, invitation_id: FromPath[UUID]) -> Response:
    """Withdraws an invitation; inviting again undoes it."""
    client_ip = client_ip_of(request.scope)
    row = await withdraw(parts_of(request), request.user, invitation_id, client_ip)
    return go(_PAGE, f"The invitation of {row.email} was withdrawn.")


@page("POST", f"{_MEMBER}/role", _ADMINS)
async def post_role(request: GatewayRequest, user_id: FromPath[UUID]) -> Response:
    """Gives somebody another role."""
    typed = await form_of(request, "role")
    role, client_ip = _role_of(typed["role"]), client_ip_of(request.scope)
    row = await change_role(parts_of(request), request.user, user_id, role, client_ip)
    return go(_PAGE, f"{row.email} is {row.role} from now on.")


@page("GET", f"{_MEMBER}/remove", _ADMINS)
async def get_remove(request: GatewayRequest, user_id: FromPath[UUID]) -> Response:
    """Asks whether to remove."""
    return _ask(request, await _question(request, user_id))


@page("POST", f"{_MEMBER}/remove", _ADMINS)
async def post_remove(request: GatewayRequest, user_id: FromPath[UUID]) -> Response:
    """Removes once the address was typed."""
    typed = await form_of(request, "confirm")
    view = await _question(request, user_id)
    if not is_confirmed(view.email, typed["confirm"]):
        error = f"Type “{view.email}” to remove them; nobody was removed."
        return _ask(request, await _question(request, user_id, error), 400)
    await remove_member(parts_of(request), request.user, user_id, client_ip_of(request.scope))
    return go(_PAGE, f"{view.email} was removed, and is signed out.")


async def _sent(request: GatewayRequest, sent: Sent) -> Response:
    if sent.row.mailed:
        return go(_PAGE, f"{sent.row.email} was sent a mail with a link.")
    return await _show(request, Form({"role": "agent"}), sent)


def _role_of(typed: str) -> Role:
    """NotFound for what is no role: the page offers only those that are."""
    if typed not in _ROLES:
        raise NotFound("there is no such role", field="role")
    return _ROLES[typed]


async def _show(
    request: GatewayRequest, form: Form, sent: Sent | None = None, status_code: int = 200
) -> Response:
    parts, tenant_id = parts_of(request), request.user.tenant_id
    role = request.user.role or Role.VIEWER
    async with parts.db.tenant(tenant_id) as conn:
        people = await members.members(conn, tenant_id, MAX_PEOPLE)
        invited = []
        if role >= Role.ADMIN:
            invited = await invitations.invitations(conn, tenant_id, MAX_PEOPLE)
        inviters = await actor_names(conn, tenant_id, [row.inviter for row in invited])
    me, now = UUID(request.user.subject), parts.clock.now()
    view = team_page(people, invited, inviters, me, role, now, sent)
    return show(
        request, "team", "settings/team.html", status_code=status_code, view=view, form=form
    )


async def _question(request: GatewayRequest, user_id: UUID, error: str = "") -> RemoveMember:
    tenant_id = request.user.tenant_id
    async with parts_of(request).db.tenant(tenant_id) as conn:
        row = await members.member(conn, tenant_id, user_id)
        keys = await api_keys.count_made_by(conn, tenant_id, str(user_id))
    if row is None:
        raise NotFound("there is no such person in the team", field="user_id")
    return remove_member_view(row, UUID(request.user.subject), keys, error)


def _ask(request: GatewayRequest, view: RemoveMember, status_code: int = 200) -> Response:
    template = "settings/remove_member.html"
    return show(request, "team", template, status_code=status_code, view=view)


HANDLERS: list[HTTPRouteHandler] = [
    get_team,
    post_invitation,
    post_resend,
    post_withdraw,
    post_role,
    get_remove,
    post_remove,
]
