"""Signing in and out."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from fleetkit.errors import InvalidArgument, Unauthenticated
from fleetkit.ids import new_id
from fleetkit.postgres import Database

from gateway import audit
from gateway.auth.authenticator import SESSION_LIFETIME, Authenticator
from gateway.auth.emails import normalized_email
from gateway.auth.passwords import Passwords
from gateway.auth.principal import Principal
from gateway.auth.tokens import new_session_token, sha256
from gateway.store import accounts, members, sessions


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session; `token` goes into the cookie and is kept nowhere."""

    tenant_id: UUID
    user_id: UUID
    token: str = field(repr=False)


async def sign_in(
    db: Database, passwords: Passwords, email: str, password: str, client_ip: str
) -> SignedIn:
    """Begins a session for whoever has this e-mail and password.

    Unauthenticated when nobody has, in the same time and words whether or not the e-mail is
    known. A hash made with weaker parameters is renewed.
    """
    user = await _user_of(db, email)
    right = await passwords.verify(user.password_hash if user else None, password)
    if user is None or not right:
        if user is not None:
            await _note_failure(db, user, client_ip)
        raise Unauthenticated("e-mail or password is wrong", reason="WRONG_PASSWORD")
    renewed = await passwords.hash(password) if passwords.is_outdated(user.password_hash) else None
    async with db.tenant(user.tenant_id) as conn:
        if renewed is not None:
            await accounts.set_password_hash(conn, user.tenant_id, user.user_id, renewed)
    return await begin_session(db, user.tenant_id, user.user_id, client_ip)


async def begin_session(db: Database, tenant_id: UUID, user_id: UUID, client_ip: str) -> SignedIn:
    """Makes a session with a fresh token, so that none known before sign-in is ever signed in."""
    token = new_session_token()
    session_id, digest = new_id(), sha256(token)
    expire_time = datetime.now(UTC) + SESSION_LIFETIME
    async with db.tenant(tenant_id) as conn:
        await sessions.insert_session(conn, tenant_id, session_id, user_id, digest, expire_time)
        await accounts.index_credential(conn, "session", digest, tenant_id, session_id)
        await members.touch_member(conn, tenant_id, user_id, conn.now())
        actor = audit.Actor("user", str(user_id), client_ip)
        await audit.record(conn, tenant_id, actor, "user.signed_in", str(user_id))
    return SignedIn(tenant_id, user_id, token)


async def sign_out(db: Database, authenticator: Authenticator, principal: Principal) -> None:
    """Ends the session that `principal` came with. Nothing happens when it has ended."""
    authenticator.forget(principal.sha256)
    await end_session(db, principal.sha256)


async def end_session(db: Database, digest: bytes) -> None:
    """Ends the session whose token has this hash, if there is one."""
    async with db.fleet() as conn:
        owner = await accounts.credential_owner(conn, "session", digest)
    if owner is None:
        return
    tenant_id, session_id = owner
    async with db.tenant(tenant_id) as conn:
        await sessions.delete_session(conn, tenant_id, session_id)
        await accounts.forget_credentials(conn, "session", [digest])


async def _user_of(db: Database, email: str) -> accounts.UserRow | None:
    try:
        digest = sha256(normalized_email(email))
    except InvalidArgument:
        # Not told apart from an e-mail that nobody has.
        return None
    async with db.fleet() as conn:
        owner = await accounts.credential_owner(conn, "email", digest)
    if owner is None:
        return None
    tenant_id, user_id = owner
    async with db.tenant(tenant_id) as conn:
        return await accounts.user(conn, tenant_id, user_id)


async def _note_failure(db: Database, user: accounts.UserRow, client_ip: str) -> None:
    actor = audit.Actor("user", str(user.user_id), client_ip)
    async with db.tenant(user.tenant_id) as conn:
        await audit.record(conn, user.tenant_id, actor, "user.sign_in_failed", str(user.user_id))
