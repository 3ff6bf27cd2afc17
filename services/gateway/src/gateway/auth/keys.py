"""API keys: made, listed, revoked."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from fleetkit.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from fleetkit.ids import new_id
from fleetkit.postgres import Database, FleetConnection

from gateway import audit
from gateway.auth.authenticator import Authenticator
from gateway.auth.principal import ALL_SCOPES, SCOPES, Principal, Role
from gateway.auth.tokens import new_api_key, sha256, shown_prefix
from gateway.store import accounts, api_keys

MAX_KEYS = 100
_LONGEST = timedelta(days=100 * 366)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to make; `creator` is the subject who asks."""

    name: str
    role: Role
    scopes: list[str]
    creator: str
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A key, this once in full."""

    row: api_keys.ApiKeyRow
    api_key: str = field(repr=False)


async def create_key(db: Database, creator: Principal, wanted: NewKey, client_ip: str) -> MadeKey:
    """Makes a key that may do no more than its creator.

    InvalidArgument for unknown scopes or an expiry in the past or in another century,
    PermissionDenied for more than
    the creator may do, FailedPrecondition when there are too many keys.
    """
    _check_scopes(creator, wanted)
    tenant_id = creator.tenant_id
    async with db.tenant(tenant_id) as conn:
        _check_expiry(wanted.expire_time, conn.now())
        if await api_keys.count_api_keys(conn, tenant_id) >= MAX_KEYS:
            raise FailedPrecondition(
                f"there are {MAX_KEYS} keys: revoke one first", reason="TOO_MANY_KEYS"
            )
        made = await insert_key(conn, tenant_id, wanted)
        await audit.record(
            conn,
            tenant_id,
            audit.actor_of(creator, client_ip),
            "api_key.created",
            str(made.row.key_id),
            {"role": made.row.role, "scopes": " ".join(made.row.scopes)},
        )
    return made


async def insert_key(conn: FleetConnection, tenant_id: UUID, wanted: NewKey) -> MadeKey:
    """Makes a key in a transaction of its tenant, unchecked."""
    key = new_api_key()
    row = api_keys.ApiKeyRow(
        key_id=new_id(),
        name=wanted.name,
        prefix=shown_prefix(key),
        role=wanted.role.label,
        scopes=sorted(set(wanted.scopes)),
        creator=wanted.creator,
        create_time=conn.now(),
        expire_time=wanted.expire_time,
        last_used_time=None,
        revoke_time=None,
    )
    digest = sha256(key)
    await api_keys.insert_api_key(conn, tenant_id, row, digest)
    await accounts.index_credential(conn, "api_key", digest, tenant_id, row.key_id)
    return MadeKey(row, key)


async def revoke_key(
    db: Database, authenticator: Authenticator, revoker: Principal, key_id: UUID, client_ip: str
) -> None:
    """Ends a key: here at once, in other replicas within seconds. NotFound when there is none."""
    tenant_id = revoker.tenant_id
    async with db.tenant(tenant_id) as conn:
        digest = await api_keys.revoke_api_key(conn, tenant_id, key_id, conn.now())
        if digest is None:
            raise NotFound("there is no such API key", field="key_id")
        await accounts.forget_credentials(conn, "api_key", [digest])
        await audit.record(
            conn, tenant_id, audit.actor_of(revoker, client_ip), "api_key.revoked", str(key_id)
        )
    authenticator.forget(digest)


def _check_expiry(expire_time: datetime | None, now: datetime) -> None:
    if expire_time is None:
        return
    if expire_time <= now:
        raise InvalidArgument("expire_time has passed: choose a later one", field="expire_time")
    # The database takes times that no calendar of ours reaches, and could not be read again.
    if expire_time - now > _LONGEST:
        raise InvalidArgument(
            "expire_time is too far ahead: leave it out for a key that does not expire",
            field="expire_time",
        )


def _check_scopes(creator: Principal, wanted: NewKey) -> None:
    if not wanted.scopes:
        raise InvalidArgument("scopes is empty: name at least one", field="scopes")
    for scope in wanted.scopes:
        if scope not in (ALL_SCOPES, *SCOPES):
            raise InvalidArgument(
                f"there is no scope {scope[:60]!r}: use * or some of {', '.join(SCOPES)}",
                field="scopes",
                reason="SCOPE_UNKNOWN",
            )
        if not creator.has_scope(scope):
            raise PermissionDenied(
                f"your own key lacks the scope {scope}", field="scopes", reason="SCOPE_MISSING"
            )
    if creator.role is None or wanted.role > creator.role:
        raise PermissionDenied(
            "a key may not have a higher role than its maker", field="role", reason="ROLE_TOO_LOW"
        )
