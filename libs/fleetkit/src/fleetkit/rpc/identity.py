"""The two tokens of a call: who it is for (fd-identity) and which service calls (fd-caller).

Both are JWTs signed with Ed25519. The `typ` header keeps one from passing for the other. Times
are real time, not the fleet clock's: a token must not live longer because a clock was moved.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast, get_args
from uuid import UUID

import jwt

from fleetkit import context
from fleetkit.context import Attribution, CallContext, Identity, Kind
from fleetkit.errors import Unauthenticated
from fleetkit.rpc.keys import KeyRing
from fleetkit.telemetry import new_span, parse_traceparent

IDENTITY_ISSUER = "gateway"
IDENTITY_MARGIN_S = 30
CALLER_LIFETIME_S = 60
_RENEW_BEFORE_S = 20
_LEEWAY_S = 5
_MAX_CACHED = 2048

T = TypeVar("T")
_TokenType = Literal["fd-identity", "fd-caller"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified calling service; `tenant_id` is set by background work only."""

    service: str
    tenant_id: UUID | None


def mint_identity(keyring: KeyRing, identity: Identity, deadline_s: float) -> str:
    """Signs fd-identity for a request that has `deadline_s` seconds left; gateway only.

    The token outlives the deadline by 30 s, so that the last hop still verifies it.
    """
    if keyring.service != IDENTITY_ISSUER:
        raise ValueError(f"only {IDENTITY_ISSUER} mints identities, not {keyring.service}")
    now = time.time()
    claims = {
        "iss": IDENTITY_ISSUER,
        "iat": int(now),
        "exp": int(now + deadline_s) + IDENTITY_MARGIN_S,
        "tenant": str(identity.tenant_id),
        "sub": identity.subject,
        "kind": identity.kind,
        "roles": sorted(identity.roles),
    }
    if identity.conversation_id is not None:
        claims["conversation_id"] = str(identity.conversation_id)
    return _sign(keyring, "fd-identity", claims)


def verify_identity(keyring: KeyRing, token: str) -> Identity:
    """The identity that `token` proves; Unauthenticated when it does not verify."""
    return _verify_identity(keyring, token)[0]


def mint_caller(keyring: KeyRing, callee: str, tenant_id: UUID | None = None) -> str:
    """Signs fd-caller: this service calls `callee`, for 60 s, maybe for a tenant."""
    now = int(time.time())
    claims = {"iss": keyring.service, "aud": callee, "iat": now, "exp": now + CALLER_LIFETIME_S}
    if tenant_id is not None:
        claims["tenant"] = str(tenant_id)
    return _sign(keyring, "fd-caller", claims)


def verify_caller(keyring: KeyRing, token: str) -> Caller:
    """The service that calls this one; Unauthenticated when the token does not verify."""
    return _verify_caller(keyring, token)[0]


class VerifiedTokens:
    """Verifies tokens once: the same one comes with many calls, and a signature costs 0.3 ms."""

    def __init__(self, keyring: KeyRing) -> None:
        self._keyring = keyring
        self._callers: dict[str, tuple[Caller, float]] = {}
        self._identities: dict[str, tuple[Identity, float]] = {}

    def caller(self, token: str) -> Caller:
        """As `verify_caller`."""
        return _once(self._callers, token, lambda: _verify_caller(self._keyring, token))

    def identity(self, token: str) -> Identity:
        """As `verify_identity`."""
        return _once(self._identities, token, lambda: _verify_identity(self._keyring, token))


class CallerTokens:
    """fd-caller tokens of this service, one per callee and tenant, reused until near expiry."""

    def __init__(self, keyring: KeyRing) -> None:
        self._keyring = keyring
        self._tokens: dict[tuple[str, UUID | None], tuple[float, str]] = {}

    def token(self, callee: str, tenant_id: UUID | None) -> str:
        """A token that is good for at least 20 s more."""
        now = time.monotonic()
        key = (callee, tenant_id)
        renew_at, token = self._tokens.get(key, (0.0, ""))
        if now < renew_at:
            return token
        if len(self._tokens) >= _MAX_CACHED:
            self._tokens.clear()
        token = mint_caller(self._keyring, callee, tenant_id)
        self._tokens[key] = (now + CALLER_LIFETIME_S - _RENEW_BEFORE_S, token)
        return token


@contextmanager
def acting_as(
    keyring: KeyRing,
    identity: Identity,
    timeout_s: float,
    *,
    attribution: Attribution | None = None,
    traceparent: str | None = None,
) -> Iterator[CallContext]:
    """Binds an authenticated person, key or visitor and the request's deadline; gateway only.

    Calls made inside the block carry the identity, and no call outlives `timeout_s`.
    """
    parent = parse_traceparent(traceparent) or context.current().span
    bound = CallContext(
        tenant_id=identity.tenant_id,
        identity=identity,
        identity_token=mint_identity(keyring, identity, timeout_s),
        attribution=attribution or Attribution(),
        span=new_span(parent),
        deadline=time.monotonic() + timeout_s,
    )
    with context.bound(bound):
        yield bound


def _sign(keyring: KeyRing, kind: _TokenType, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, keyring.private, algorithm="EdDSA", headers={"typ": kind})


def _claimed_issuer(token: str) -> str:
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise _refused("fd-caller", "MALFORMED_TOKEN") from error
    return str(claims.get("iss", ""))


def _verify(
    keyring: KeyRing, token: str, kind: _TokenType, *, issuer: str, audience: str | None
) -> dict[str, Any]:
    key = keyring.public.get(issuer)
    if key is None:
        raise _refused(kind, "UNKNOWN_ISSUER")
    required = ["iss", "iat", "exp", "aud" if audience else "sub"]
    try:
        complete = jwt.decode_complete(
            token,
            key,
            algorithms=["EdDSA"],
            issuer=issuer,
            audience=audience,
            leeway=_LEEWAY_S,
            options={"require": required},
        )
    except jwt.ExpiredSignatureError as error:
        raise _refused(kind, "TOKEN_EXPIRED") from error
    except jwt.InvalidAudienceError as error:
        raise _refused(kind, "WRONG_AUDIENCE") from error
    except jwt.InvalidTokenError as error:
        raise _refused(kind, "INVALID_TOKEN") from error
    if complete["header"].get("typ") != kind:
        raise _refused(kind, "WRONG_TOKEN_TYPE")
    return complete["payload"]


def _verify_identity(keyring: KeyRing, token: str) -> tuple[Identity, float]:
    """The identity, and when the token expires."""
    claims = _verify(keyring, token, "fd-identity", issuer=IDENTITY_ISSUER, audience=None)
    kind = claims.get("kind")
    roles = claims.get("roles")
    if kind not in get_args(Kind) or not isinstance(roles, list):
        raise _refused("fd-identity", "MALFORMED_TOKEN")
    conversation = claims.get("conversation_id")
    identity = Identity(
        tenant_id=_uuid(claims.get("tenant")),
        subject=str(claims["sub"]),
        kind=cast(Kind, kind),
        roles=frozenset(str(role) for role in roles),
        conversation_id=None if conversation is None else _uuid(conversation),
    )
    return identity, claims["exp"]


def _verify_caller(keyring: KeyRing, token: str) -> tuple[Caller, float]:
    """The caller, and when the token expires."""
    issuer = _claimed_issuer(token)
    claims = _verify(keyring, token, "fd-caller", issuer=issuer, audience=keyring.service)
    if claims["exp"] - claims["iat"] > CALLER_LIFETIME_S:
        raise _refused("fd-caller", "TOKEN_LIVES_TOO_LONG")
    tenant = claims.get("tenant")
    return Caller(issuer, None if tenant is None else _uuid(tenant)), claims["exp"]


def _once(
    known: dict[str, tuple[T, float]], token: str, verify: Callable[[], tuple[T, float]]
) -> T:
    """What `verify` returned for this token before, until it expires; bounded."""
    found = known.get(token)
    if found is not None and time.time() < found[1]:
        return found[0]
    verified = verify()
    if len(known) >= _MAX_CACHED:
        known.clear()
    known[token] = verified
    return verified[0]


def _refused(kind: _TokenType, reason: str) -> Unauthenticated:
    return Unauthenticated(f"the {kind} token is not accepted", field=kind, reason=reason)


def _uuid(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError as error:
        raise Unauthenticated("a token names a malformed id", reason="MALFORMED_TOKEN") from error
