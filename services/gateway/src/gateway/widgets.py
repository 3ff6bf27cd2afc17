"""Widget settings of an agent: where it may stand, and who its visitors are proven to be."""

import secrets
from collections.abc import Sequence
from uuid import UUID

import jwt
from cachetools import TTLCache
from fleetkit.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from fleetkit.logging import get_logger
from fleetkit.postgres import Database
from fleetkit.vault import Sealed, Vault

from gateway import audit
from gateway.auth.principal import Principal
from gateway.auth.tokens import sha256
from gateway.origins import MAX_ORIGINS, normalized_origin
from gateway.store import accounts
from gateway.store import widgets as store

_CACHE_S = 5.0
_MAX_CACHED = 10_000
_SECRET_BYTES = 32
_MAX_TOKEN_CHARS = 4096
_MAX_EXTERNAL_ID_BYTES = 256


class Widgets:
    """Widget settings; who asks for an agent before there is a tenant; origins, cached."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._origins: TTLCache[UUID, frozenset[str]] = TTLCache(_MAX_CACHED, _CACHE_S)
        self._tenants: TTLCache[UUID, UUID] = TTLCache(_MAX_CACHED, _CACHE_S)

    async def tenant_of(self, agent_id: UUID) -> UUID:
        """The tenant of an agent; NotFound when there is no such agent."""
        known = self._tenants.get(agent_id)
        if known is not None:
            return known
        async with self._db.fleet() as conn:
            owner = await accounts.credential_owner(conn, "agent", sha256(str(agent_id)))
        if owner is None:
            raise _no_agent()
        self._tenants[agent_id] = owner[0]
        return owner[0]

    async def register(self, tenant_id: UUID, agent_id: UUID) -> None:
        """Makes the settings of an agent that is about to be made."""
        async with self._db.tenant(tenant_id) as conn:
            await accounts.index_credential(
                conn, "agent", sha256(str(agent_id)), tenant_id, agent_id
            )
            await store.insert_widget(conn, tenant_id, agent_id, conn.now())

    async def get(self, tenant_id: UUID, agent_id: UUID) -> store.WidgetRow:
        """An agent's settings; NotFound when the tenant has no such agent."""
        async with self._db.tenant(tenant_id) as conn:
            row = await store.widget(conn, tenant_id, agent_id)
        if row is None:
            raise _no_agent()
        return row

    async def set_origins(
        self, principal: Principal, agent_id: UUID, origins: Sequence[str], client_ip: str
    ) -> store.WidgetRow:
        """Replaces the origins that the widget may stand on; InvalidArgument for a bad one."""
        if len(origins) > MAX_ORIGINS:
            raise InvalidArgument(
                f"there are {len(origins)} origins: use at most {MAX_ORIGINS}",
                field="allowed_origins",
            )
        wanted = sorted({normalized_origin(origin) for origin in origins})
        tenant_id = principal.tenant_id
        async with self._db.tenant(tenant_id) as conn:
            if not await store.set_allowed_origins(conn, tenant_id, agent_id, wanted, conn.now()):
                raise _no_agent()
            actor = audit.actor_of(principal, client_ip)
            count = {"origins": str(len(wanted))}
            await audit.record(conn, tenant_id, actor, "widget.changed", str(agent_id), count)
        self._origins.pop(agent_id, None)
        return await self.get(tenant_id, agent_id)

    async def rotate_secret(self, principal: Principal, agent_id: UUID, client_ip: str) -> str:
        """Makes a new identity secret; tokens signed with the old one are refused from now on."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        tenant_id = principal.tenant_id
        sealed = self._vault.seal(secret, tenant_id, agent_id)
        async with self._db.tenant(tenant_id) as conn:
            if not await store.set_identity_secret(
                conn, tenant_id, agent_id, sealed.data, sealed.secrets_key_id, conn.now()
            ):
                raise _no_agent()
            actor = audit.actor_of(principal, client_ip)
            await audit.record(conn, tenant_id, actor, "widget.secret_rotated", str(agent_id))
        return secret

    async def check_origin(self, tenant_id: UUID, agent_id: UUID, origin: str) -> None:
        """Raises PermissionDenied unless the agent's widget may stand on pages of `origin`."""
        if origin not in await self._allowed(tenant_id, agent_id):
            raise PermissionDenied(
                "this agent's widget may not stand on this page: add the page's origin to its "
                "allowed origins",
                field="origin",
                reason="ORIGIN_NOT_ALLOWED",
            )

    async def visitor_of(self, tenant_id: UUID, agent_id: UUID, token: str) -> str:
        """The tenant's own id of a visitor, proven by a JWT signed with the identity secret.

        HS256, with `sub` (the id) and `exp`. InvalidArgument when it does not verify, or there
        is no identity secret.
        """
        row = await self.get(tenant_id, agent_id)
        if row.identity_secret is None or row.secrets_key_id is None:
            raise _visitor_refused("this agent has no identity secret: make one first")
        sealed = Sealed(row.secrets_key_id, row.identity_secret)
        secret = self._vault.open(sealed, tenant_id, agent_id)
        if len(token) > _MAX_TOKEN_CHARS:
            raise _visitor_refused("it is too long")
        try:
            claims = jwt.decode(
                token, secret, algorithms=["HS256"], options={"require": ["sub", "exp"]}
            )
        except jwt.ExpiredSignatureError as error:
            raise _visitor_refused("it has expired") from error
        except jwt.InvalidTokenError as error:
            raise _visitor_refused(
                "sign it with HS256 and the identity secret, with sub and exp"
            ) from error
        external_id = str(claims["sub"])
        try:
            size = len(external_id.encode())
        except UnicodeEncodeError as error:
            # JSON can write half a surrogate pair.
            raise _visitor_refused("sub is not Unicode") from error
        if not external_id.strip() or size > _MAX_EXTERNAL_ID_BYTES:
            raise _visitor_refused(f"sub has 1 to {_MAX_EXTERNAL_ID_BYTES} bytes")
        return external_id

    async def reseal(self, tenant_id: UUID) -> int:
        """Seals the tenant's secrets with the current key; returns how many were not.

        One that can't be opened is left and logged.
        """
        count = 0
        async with self._db.tenant(tenant_id) as conn:
            rows = await store.widgets_sealed_otherwise(conn, tenant_id, self._vault.current_key_id)
            for row in rows:
                old = Sealed(row.secrets_key_id or "", row.identity_secret or b"")
                try:
                    secret = self._vault.open(old, tenant_id, row.agent_id)
                except FailedPrecondition as error:
                    get_logger().error(
                        "secret_unreadable", agent_id=str(row.agent_id), exc_info=error
                    )
                    continue
                new = self._vault.seal(secret, tenant_id, row.agent_id)
                await store.set_identity_secret(
                    conn, tenant_id, row.agent_id, new.data, new.secrets_key_id, conn.now()
                )
                count += 1
        return count

    async def _allowed(self, tenant_id: UUID, agent_id: UUID) -> frozenset[str]:
        """Allowed origins; none before an owner's e-mail is verified."""
        known = self._origins.get(agent_id)
        if known is not None:
            return known
        async with self._db.tenant(tenant_id) as conn:
            row = await store.widget(conn, tenant_id, agent_id)
            verified = await accounts.owner_is_verified(conn, tenant_id)
        allowed = frozenset(row.allowed_origins) if row and verified else frozenset[str]()
        self._origins[agent_id] = allowed
        return allowed


def _no_agent() -> NotFound:
    return NotFound("there is no such agent", field="agent_id", reason="AGENT_NOT_FOUND")


def _visitor_refused(why: str) -> InvalidArgument:
    return InvalidArgument(
        f"the visitor's token is not accepted: {why}",
        field="visitor",
        reason="VISITOR_TOKEN_INVALID",
    )
