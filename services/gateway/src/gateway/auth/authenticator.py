"""Finds out who makes a request from the credential it carries."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cachetools import TTLCache
from fleetkit.clock import Clock
from fleetkit.context import Identity
from fleetkit.errors import Unauthenticated
from fleetkit.events import tombstones
from fleetkit.postgres import Database
from fleetkit.rpc.keys import KeyRing

from gateway.auth.principal import Principal, Role
from gateway.auth.tokens import KEY_PREFIX, csrf_token_of, sha256
from gateway.auth.visitor_tokens import verify_visitor_token
from gateway.store import accounts, api_keys, members, sessions

# How long a revoked credential may still pass in another replica; in this one it ends at once.
CACHE_S = 5.0
_MAX_CACHED = 20_000
_TOUCH_AFTER = timedelta(minutes=1)
SESSION_IDLE = timedelta(hours=12)
SESSION_LIFETIME = timedelta(days=14)
_FOREVER_S = 100 * 365 * 24 * 3600.0
_MAX_CREDENTIAL_CHARS = 4096


class Authenticator:
    """Credentials → principals, with a short, bounded cache so that most requests read no row."""

    def __init__(self, db: Database, clock: Clock, keyring: KeyRing) -> None:
        self._db = db
        self._clock = clock
        self._keyring = keyring
        self._known: TTLCache[bytes, Principal] = TTLCache(_MAX_CACHED, CACHE_S)

    async def bearer(self, token: str) -> Principal:
        """Who holds this API key or visitor token; Unauthenticated when nobody does."""
        if len(token) > _MAX_CREDENTIAL_CHARS:
            raise _unknown_key()
        digest = sha256(token)
        known = self._cached(digest)
        if known is not None:
            return known
        if token.startswith(KEY_PREFIX):
            return self._remember(await self._api_key(digest))
        visitor = verify_visitor_token(self._keyring, token)
        if await self._is_erased(visitor):
            raise Unauthenticated(
                "this visitor was erased: begin a new conversation", reason="VISITOR_ERASED"
            )
        return self._remember(visitor)

    async def session(self, token: str) -> Principal | None:
        """Who is signed in with this token; None when nobody is, or not any more."""
        if len(token) > _MAX_CREDENTIAL_CHARS:
            return None
        digest = sha256(token)
        known = self._cached(digest)
        if known is not None:
            return known
        found = await self._session(token, digest)
        return None if found is None else self._remember(found)

    async def still_valid(self, principal: Principal) -> bool:
        """Whether the credential that `principal` came with would be taken now, too."""
        if principal.expire_time <= time.time():
            return False
        if self._cached(principal.sha256) is not None:
            return True
        if principal.credential == "visitor":
            return not await self._is_erased(principal)
        async with self._db.fleet() as conn:
            kind = principal.credential
            return await accounts.credential_owner(conn, kind, principal.sha256) is not None

    def forget(self, digest: bytes) -> None:
        """Drops a credential from the cache: it was revoked, or what it may do has changed."""
        self._known.pop(digest, None)

    def forget_visitors(self, tenant_id: UUID) -> None:
        """Drops the tenant's visitors from the cache: one of them, or the tenant, is erased."""
        for digest, principal in list(self._known.items()):
            if principal.credential == "visitor" and principal.tenant_id == tenant_id:
                self._known.pop(digest, None)

    def _cached(self, digest: bytes) -> Principal | None:
        known = self._known.get(digest)
        if known is None or known.expire_time <= time.time():
            return None
        return known

    def _remember(self, principal: Principal) -> Principal:
        self._known[principal.sha256] = principal
        return principal

    async def _is_erased(self, visitor: Principal) -> bool:
        """Whether the visitor, its conversation or its tenant has a tombstone."""
        person = visitor.identity
        named = [("visitor", UUID(person.subject))]
        if person.conversation_id is not None:
            named.append(("conversation", person.conversation_id))
        async with self._db.tenant(person.tenant_id) as conn:
            return await tombstones.is_any_erased(conn, person.tenant_id, named)

    async def _owner(self, kind: accounts.Kind, digest: bytes) -> tuple[UUID, UUID] | None:
        async with self._db.fleet() as conn:
            return await accounts.credential_owner(conn, kind, digest)

    async def _session(self, token: str, digest: bytes) -> Principal | None:
        owner = await self._owner("session", digest)
        if owner is None:
            return None
        tenant_id, session_id = owner
        now = datetime.now(UTC)
        async with self._db.tenant(tenant_id) as conn:
            row = await sessions.session(conn, tenant_id, session_id)
            if row is None:
                return None
            ends = min(row.expire_time, row.last_used_time + SESSION_IDLE)
            if ends <= now:
                return None
            if now - row.last_used_time > _TOUCH_AFTER:
                await sessions.touch_session(conn, tenant_id, session_id)
                await members.touch_member(conn, tenant_id, row.user_id, conn.now())
        role = Role.of(row.role)
        return Principal(
            credential="session",
            identity=Identity(tenant_id, str(row.user_id), "user", frozenset({role.label})),
            sha256=digest,
            expire_time=ends.timestamp(),
            role=role,
            email=row.email,
            company=row.company,
            csrf_token=csrf_token_of(token),
            verified=row.verified,
        )

    async def _api_key(self, digest: bytes) -> Principal:
        owner = await self._owner("api_key", digest)
        if owner is None:
            raise _unknown_key()
        tenant_id, key_id = owner
        now = self._clock.now()
        async with self._db.tenant(tenant_id) as conn:
            row = await api_keys.api_key(conn, tenant_id, key_id)
            if row is None or row.revoke_time is not None:
                raise _unknown_key()
            if row.expire_time is not None and row.expire_time <= now:
                raise Unauthenticated(
                    "this API key has expired: make a new one", reason="API_KEY_EXPIRED"
                )
            if row.last_used_time is None or now - row.last_used_time > _TOUCH_AFTER:
                await api_keys.touch_api_key(conn, tenant_id, key_id, now)
        left_s = (row.expire_time - now).total_seconds() if row.expire_time else _FOREVER_S
        role = Role.of(row.role)
        return Principal(
            credential="api_key",
            identity=Identity(tenant_id, str(key_id), "api_key", frozenset({role.label})),
            sha256=digest,
            expire_time=time.time() + left_s,
            role=role,
            scopes=frozenset(row.scopes),
            company=row.company,
        )


def _unknown_key() -> Unauthenticated:
    return Unauthenticated(
        "this API key is not known: it may have been revoked", reason="API_KEY_UNKNOWN"
    )
