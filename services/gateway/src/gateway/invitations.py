"""Invitations: a link, mailed once, by which somebody joins a team."""

import secrets
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from fleetkit.errors import AlreadyExists, FailedPrecondition, NotFound
from fleetkit.ids import new_id
from fleetkit.postgres import FleetConnection

from gateway import audit
from gateway.auth.emails import normalized_email
from gateway.auth.passwords import check_password
from gateway.auth.principal import Principal, Role
from gateway.auth.tokens import sha256
from gateway.mail import Mail
from gateway.parts import Parts
from gateway.rate_limits import Limit
from gateway.store import accounts, members
from gateway.store import invitations as store
from gateway.store.invitations import InvitationRow
from gateway.team import MAX_PEOPLE, check_may_give

OPEN_DAYS = 7
# Mails go to people who did not ask for them.
_BY_TENANT = Limit("invitations", 50, 3600)


@dataclass(frozen=True, slots=True)
class Sent:
    """An invitation that was sent; `url` is "" when it was mailed, and is kept nowhere."""

    row: InvitationRow
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """An invitation that can be accepted, as its link opens it."""

    tenant_id: UUID
    company: str
    row: InvitationRow


async def invite(
    parts: Parts, principal: Principal, email: str, role: Role, origin: str, client_ip: str
) -> Sent:
    """Invites somebody for seven days; the link begins with `origin`.

    The same happens whether or not the e-mail has an account in another company: only who opens
    the link may learn that. InvalidArgument for what is no e-mail; PermissionDenied for a role
    above the principal's own; AlreadyExists for members and those who are invited;
    FailedPrecondition when the team is full.
    """
    email = normalized_email(email)
    check_may_give(principal, role)
    tenant_id, token = principal.tenant_id, _new_token(parts, principal)
    async with parts.db.tenant(tenant_id) as conn:
        await members.lock_team(conn, tenant_id)
        if await members.has_email(conn, tenant_id, email):
            raise AlreadyExists(
                "this person is in the team already", field="email", reason="ALREADY_MEMBER"
            )
        if await members.count_people(conn, tenant_id) >= MAX_PEOPLE:
            raise FailedPrecondition(
                f"a team has at most {MAX_PEOPLE} people, with those who are invited: remove one",
                reason="TEAM_FULL",
            )
        now = conn.now()
        row = InvitationRow(
            invitation_id=new_id(),
            email=email,
            role=role.label,
            inviter=principal.subject,
            mailed=False,
            create_time=now,
            expire_time=now + timedelta(days=OPEN_DAYS),
            token_sha256=sha256(token),
        )
        if not await store.insert_invitation(conn, tenant_id, row):
            raise AlreadyExists(
                "this person is invited already: resend or withdraw that invitation",
                field="email",
                reason="ALREADY_INVITED",
            )
        await _index(conn, tenant_id, row)
        await _note(conn, principal, "invitation.created", row, client_ip)
    return await _send(parts, principal, row, f"{origin}/invitations/{token}")


async def resend(
    parts: Parts, principal: Principal, invitation_id: UUID, origin: str, client_ip: str
) -> Sent:
    """Sends another link, for seven days from now; the one before opens nothing any more.

    NotFound; PermissionDenied for an invitation to a role above the principal's own.
    """
    tenant_id, token = principal.tenant_id, _new_token(parts, principal)
    async with parts.db.tenant(tenant_id) as conn:
        old = await _managed(conn, principal, invitation_id)
        row = replace(
            old,
            mailed=False,
            expire_time=conn.now() + timedelta(days=OPEN_DAYS),
            token_sha256=sha256(token),
        )
        await store.renew_invitation(
            conn, tenant_id, invitation_id, row.token_sha256, row.expire_time
        )
        await accounts.forget_credentials(conn, "invitation", [old.token_sha256])
        await _index(conn, tenant_id, row)
        await _note(conn, principal, "invitation.resent", row, client_ip)
    return await _send(parts, principal, row, f"{origin}/invitations/{token}")


async def withdraw(
    parts: Parts, principal: Principal, invitation_id: UUID, client_ip: str
) -> InvitationRow:
    """Makes an invitation's link open nothing any more; errors as of `resend`."""
    tenant_id = principal.tenant_id
    async with parts.db.tenant(tenant_id) as conn:
        row = await _managed(conn, principal, invitation_id)
        await _end(conn, tenant_id, row)
        await _note(conn, principal, "invitation.withdrawn", row, client_ip)
    return row


async def open_invitation(parts: Parts, token: str) -> Opened:
    """The invitation that a link's token opens; NotFound when none, or it has expired."""
    digest = sha256(token)
    async with parts.db.fleet() as conn:
        owner = await accounts.credential_owner(conn, "invitation", digest)
    if owner is None:
        raise _not_open()
    tenant_id, invitation_id = owner
    async with parts.db.tenant(tenant_id) as conn:
        row = await _still_open(conn, tenant_id, invitation_id, digest)
        tenant = await accounts.tenant(conn, tenant_id)
    if tenant is None:
        raise _not_open()
    return Opened(tenant_id, tenant.company, row)


async def accept(parts: Parts, opened: Opened, password: str, client_ip: str) -> UUID:
    """Makes the invited person a member with this password, once; the new user's id.

    InvalidArgument for a bad password; NotFound when the invitation was used or ended meanwhile;
    AlreadyExists when the e-mail has an account in another company.
    """
    tenant_id, email = opened.tenant_id, opened.row.email
    check_password(password, email)
    password_hash = await parts.passwords.hash(password)
    async with parts.db.tenant(tenant_id) as conn:
        row = await _still_open(conn, tenant_id, opened.row.invitation_id, opened.row.token_sha256)
        user_id, now = new_id(), conn.now()
        if not await accounts.index_credential(conn, "email", sha256(email), tenant_id, user_id):
            raise AlreadyExists(
                "this e-mail has an account in another company, and can be in one only: ask for an"
                " invitation to another address",
                reason="EMAIL_TAKEN",
            )
        proven = row.mailed or parts.settings.verifies_at_once
        user = accounts.UserRow(
            user_id=user_id,
            tenant_id=tenant_id,
            email=email,
            password_hash=password_hash,
            role=row.role,
            verify_time=now if proven else None,
            create_time=now,
        )
        await accounts.insert_user(conn, user)
        await _end(conn, tenant_id, row)
        actor, facts = audit.Actor("user", str(user_id), client_ip), {"role": row.role}
        await audit.record(conn, tenant_id, actor, "user.joined", str(user_id), facts)
    return user_id


def _new_token(parts: Parts, principal: Principal) -> str:
    """256 random bits; ResourceExhausted when the tenant has sent too many."""
    parts.limiter.hit(_BY_TENANT, str(principal.tenant_id))
    return secrets.token_urlsafe(32)


async def _managed(
    conn: FleetConnection, principal: Principal, invitation_id: UUID
) -> InvitationRow:
    row = await store.invitation(conn, principal.tenant_id, invitation_id)
    if row is None:
        raise NotFound("there is no such invitation", field="invitation_id")
    check_may_give(principal, Role.of(row.role))
    return row


async def _still_open(
    conn: FleetConnection, tenant_id: UUID, invitation_id: UUID, digest: bytes
) -> InvitationRow:
    row = await store.invitation(conn, tenant_id, invitation_id)
    if row is None or row.token_sha256 != digest or row.expire_time <= conn.now():
        raise _not_open()
    return row


def _not_open() -> NotFound:
    return NotFound("this invitation was used, withdrawn or has expired", field="token")


async def _index(conn: FleetConnection, tenant_id: UUID, row: InvitationRow) -> None:
    await accounts.index_credential(
        conn, "invitation", row.token_sha256, tenant_id, row.invitation_id
    )


async def _end(conn: FleetConnection, tenant_id: UUID, row: InvitationRow) -> None:
    await store.delete_invitation(conn, tenant_id, row.invitation_id)
    await accounts.forget_credentials(conn, "invitation", [row.token_sha256])


async def _note(
    conn: FleetConnection, principal: Principal, action: str, row: InvitationRow, client_ip: str
) -> None:
    actor = audit.actor_of(principal, client_ip)
    facts = {"role": row.role}
    await audit.record(conn, principal.tenant_id, actor, action, str(row.invitation_id), facts)


async def _send(parts: Parts, principal: Principal, row: InvitationRow, url: str) -> Sent:
    """Mails the link; where it can't be, it is for the principal to hand on."""
    who = f"{principal.email} invites you" if principal.email else "You are invited"
    text = (
        f"{who} to the support desk of {principal.company} on Fleetdesk, as {row.role}.\n\n"
        f"Choose a password within {OPEN_DAYS} days:\n{url}\n\n"
        "If you don’t know them, do nothing: without you nothing comes of it.\n"
    )
    mail = Mail(row.email, f"{principal.company} invites you to its support desk", text)
    if not await parts.mailer.send(mail):
        return Sent(row, url)
    async with parts.db.tenant(principal.tenant_id) as conn:
        await store.mark_mailed(conn, principal.tenant_id, row.token_sha256)
    return Sent(replace(row, mailed=True), "")
