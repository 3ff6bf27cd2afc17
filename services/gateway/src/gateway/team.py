"""The team: which role somebody has, and who is removed."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from fleetkit.errors import FailedPrecondition, NotFound, PermissionDenied
from fleetkit.postgres import FleetConnection

from gateway import audit
from gateway.auth.principal import Principal, Role
from gateway.auth.tokens import sha256
from gateway.parts import Parts
from gateway.store import accounts, members, sessions
from gateway.store.members import MemberRow

# Of a tenant, those who are invited included.
MAX_PEOPLE = 500


async def change_role(
    parts: Parts, principal: Principal, user_id: UUID, role: Role, client_ip: str
) -> MemberRow:
    """Gives a person of the team another role, which holds at once.

    NotFound; PermissionDenied for a role, new or old, above the principal's own;
    FailedPrecondition when the last owner would become something else.
    """
    tenant_id = principal.tenant_id
    async with parts.db.tenant(tenant_id) as conn:
        await members.lock_team(conn, tenant_id)
        found = await _managed(conn, principal, user_id)
        check_may_give(principal, role)
        if found.role != role.label:
            await _keep_an_owner(conn, tenant_id, found)
            await members.set_role(conn, tenant_id, user_id, role.label)
            actor, facts = audit.actor_of(principal, client_ip), {"role": role.label}
            await audit.record(conn, tenant_id, actor, "user.role_changed", str(user_id), facts)
        signed_in = await sessions.session_hashes(conn, tenant_id, user_id)
    _forget(parts, signed_in)
    return replace(found, role=role.label)


async def remove_member(parts: Parts, principal: Principal, user_id: UUID, client_ip: str) -> None:
    """Removes a person: sessions end here at once, in other replicas within seconds.

    NotFound; PermissionDenied for somebody above the principal; FailedPrecondition for the last
    owner. The e-mail is free again; API keys that the person made are the company's, and stay.
    """
    tenant_id = principal.tenant_id
    async with parts.db.tenant(tenant_id) as conn:
        await members.lock_team(conn, tenant_id)
        found = await _managed(conn, principal, user_id)
        await _keep_an_owner(conn, tenant_id, found)
        signed_in = await sessions.session_hashes(conn, tenant_id, user_id)
        await members.delete_member(conn, tenant_id, user_id)
        await accounts.forget_credentials(conn, "session", signed_in)
        await accounts.forget_credentials(conn, "email", [sha256(found.email)])
        actor, facts = audit.actor_of(principal, client_ip), {"role": found.role}
        await audit.record(conn, tenant_id, actor, "user.removed", str(user_id), facts)
    _forget(parts, signed_in)


def check_may_give(principal: Principal, role: Role) -> None:
    """Raises PermissionDenied for a role above the principal's own: only owners make owners."""
    if principal.role is None or role > principal.role:
        raise PermissionDenied(
            f"this is for the role {role.label} or above: nobody gives more than they have",
            field="role",
            reason="ROLE_TOO_LOW",
        )


async def _managed(conn: FleetConnection, principal: Principal, user_id: UUID) -> MemberRow:
    """A person whom the principal may manage: nobody above itself."""
    found = await members.member(conn, principal.tenant_id, user_id)
    if found is None:
        raise NotFound("there is no such person in the team", field="user_id")
    if principal.role is None or Role.of(found.role) > principal.role:
        raise PermissionDenied(
            "this person’s role is above your own: ask an owner",
            field="user_id",
            reason="ROLE_TOO_LOW",
        )
    return found


async def _keep_an_owner(conn: FleetConnection, tenant_id: UUID, found: MemberRow) -> None:
    if Role.of(found.role) is Role.OWNER and await members.count_owners(conn, tenant_id) == 1:
        raise FailedPrecondition(
            "this is the only owner: make somebody else an owner first",
            field="user_id",
            reason="LAST_OWNER",
        )


def _forget(parts: Parts, token_hashes: Sequence[bytes]) -> None:
    for digest in token_hashes:
        parts.authenticator.forget(digest)
