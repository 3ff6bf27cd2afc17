"""The team: its people, their roles, and invitations."""

from uuid import UUID

from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.invitations import invite, resend, withdraw
from gateway.origins import own_origin
from gateway.parts import GatewayRequest, parts_of
from gateway.requests import Head, client_ip_of
from gateway.shapes.common import IdPageToken, PageSize, id_of_token
from gateway.shapes.team import (
    Invitation,
    InvitationList,
    InvitationRequest,
    Member,
    MemberList,
    RoleRequest,
    SentInvitation,
)
from gateway.store import invitations, members
from gateway.team import change_role, remove_member

_TAGS = ["Team"]
_TEAM = "/v1/team"
_MEMBER = f"{_TEAM}/{{user_id:uuid}}"
_INVITATIONS = f"{_TEAM}/invitations"
_INVITATION = f"{_INVITATIONS}/{{invitation_id:uuid}}"
_WRITE = Access(role=Role.ADMIN, scope="team:write", local=True)
_END = Access(role=Role.ADMIN, scope="team:write", body="none", local=True)


@endpoint(
    "GET",
    _TEAM,
    Access(role=Role.VIEWER, scope="team:read", local=True),
    tags=_TAGS,
    summary="List the team",
)
async def get_team(
    request: GatewayRequest, page_size: PageSize = 50, page_token: IdPageToken = ""
) -> MemberList:
    """Everybody who can sign in, with their roles."""
    tenant_id, after = request.user.tenant_id, id_of_token(page_token)
    async with parts_of(request).db.tenant(tenant_id) as conn:
        rows = await members.members(conn, tenant_id, page_size + 1, after)
    items = [Member.of(row) for row in rows[:page_size]]
    return MemberList(items, str(items[-1].user_id) if len(rows) > page_size else "")


@endpoint("PUT", _MEMBER, _WRITE, tags=_TAGS, summary="Change somebody's role")
async def put_member(
    request: GatewayRequest, user_id: FromPath[UUID], data: JSONBody[RoleRequest]
) -> Member:
    """Holds at once. Nobody gives or changes a role above their own; one owner stays."""
    role, client_ip = Role.of(data.role), client_ip_of(request.scope)
    return Member.of(await change_role(parts_of(request), request.user, user_id, role, client_ip))


@endpoint("DELETE", _MEMBER, _END, status_code=204, tags=_TAGS, summary="Remove somebody")
async def delete_member(request: GatewayRequest, user_id: FromPath[UUID]) -> None:
    """Ends the person's sessions at once. API keys that it made stay; one owner does."""
    await remove_member(parts_of(request), request.user, user_id, client_ip_of(request.scope))


@endpoint(
    "GET",
    _INVITATIONS,
    Access(role=Role.ADMIN, scope="team:read", local=True),
    tags=_TAGS,
    summary="List invitations",
)
async def get_invitations(
    request: GatewayRequest, page_size: PageSize = 50, page_token: IdPageToken = ""
) -> InvitationList:
    """Who was invited and has not accepted."""
    tenant_id, after = request.user.tenant_id, id_of_token(page_token)
    async with parts_of(request).db.tenant(tenant_id) as conn:
        rows = await invitations.invitations(conn, tenant_id, page_size + 1, after)
    items = [Invitation.of(row) for row in rows[:page_size]]
    return InvitationList(items, str(items[-1].invitation_id) if len(rows) > page_size else "")


@endpoint("POST", _INVITATIONS, _WRITE, status_code=201, tags=_TAGS, summary="Invite somebody")
async def post_invitation(
    request: GatewayRequest, data: JSONBody[InvitationRequest]
) -> SentInvitation:
    """A link by which the person chooses a password and joins, good once, for seven days."""
    sent = await invite(
        parts_of(request),
        request.user,
        data.email,
        Role.of(data.role),
        origin_of(request),
        client_ip_of(request.scope),
    )
    return SentInvitation.of(sent)


@endpoint("POST", f"{_INVITATION}/resend", _END, tags=_TAGS, summary="Send an invitation again")
async def post_resend(request: GatewayRequest, invitation_id: FromPath[UUID]) -> SentInvitation:
    """Another link, for seven days from now; the one before opens nothing any more."""
    sent = await resend(
        parts_of(request),
        request.user,
        invitation_id,
        origin_of(request),
        client_ip_of(request.scope),
    )
    return SentInvitation.of(sent)


@endpoint(
    "DELETE", _INVITATION, _END, status_code=204, tags=_TAGS, summary="Withdraw an invitation"
)
async def delete_invitation(request: GatewayRequest, invitation_id: FromPath[UUID]) -> None:
    """Its link opens nothing any more."""
    await withdraw(parts_of(request), request.user, invitation_id, client_ip_of(request.scope))


def origin_of(request: GatewayRequest) -> str:
    """Where links of invitations lead; also for the page."""
    return own_origin(parts_of(request).settings, Head(request.scope))


HANDLERS: list[HTTPRouteHandler] = [
    get_team,
    put_member,
    delete_member,
    get_invitations,
    post_invitation,
    post_resend,
    delete_invitation,
]
