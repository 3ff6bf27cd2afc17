"""Visitor tokens: what the widget holds, signed by the gateway, for one conversation."""

import time
from dataclasses import dataclass
from uuid import UUID

import jwt
from fleetkit.context import Identity
from fleetkit.errors import Unauthenticated
from fleetkit.rpc.keys import KeyRing

from gateway.auth.principal import Principal
from gateway.auth.tokens import sha256

LIFETIME_S = 30 * 24 * 3600
_TYPE = "fd-visitor"
_AUDIENCE = "fleetdesk-visitor"
_LEEWAY_S = 5


@dataclass(frozen=True, slots=True)
class Visit:
    """One visitor's conversation with one agent."""

    tenant_id: UUID
    agent_id: UUID
    conversation_id: UUID
    visitor_id: UUID


def mint_visitor_token(keyring: KeyRing, visit: Visit) -> str:
    """Signs the token of a visitor; good for 30 days of real time."""
    now = int(time.time())
    claims = {
        "iss": keyring.service,
        "aud": _AUDIENCE,
        "iat": now,
        "exp": now + LIFETIME_S,
        "sub": str(visit.visitor_id),
        "tenant": str(visit.tenant_id),
        "agent": str(visit.agent_id),
        "conversation": str(visit.conversation_id),
    }
    return jwt.encode(claims, keyring.private, algorithm="EdDSA", headers={"typ": _TYPE})


def verify_visitor_token(keyring: KeyRing, token: str) -> Principal:
    """The visitor that the token proves; Unauthenticated when it does not verify."""
    try:
        complete = jwt.decode_complete(
            token,
            keyring.public[keyring.service],
            algorithms=["EdDSA"],
            audience=_AUDIENCE,
            issuer=keyring.service,
            leeway=_LEEWAY_S,
            options={"require": ["exp", "iat", "sub", "aud", "iss"]},
        )
        claims = complete["payload"]
        tenant, conversation, agent = (
            UUID(claims[name]) for name in ("tenant", "conversation", "agent")
        )
        visitor = UUID(claims["sub"])
    except jwt.ExpiredSignatureError as error:
        raise Unauthenticated(
            "the visitor token has expired: begin a new conversation", reason="TOKEN_EXPIRED"
        ) from error
    except (jwt.InvalidTokenError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _refused() from error
    if complete["header"].get("typ") != _TYPE:
        raise _refused()
    return Principal(
        credential="visitor",
        identity=Identity(
            tenant_id=tenant,
            subject=str(visitor),
            kind="visitor",
            roles=frozenset({"visitor"}),
            conversation_id=conversation,
        ),
        sha256=sha256(token),
        expire_time=float(claims["exp"]),
        agent_id=agent,
    )


def _refused() -> Unauthenticated:
    return Unauthenticated("the visitor token is not accepted", reason="INVALID_TOKEN")
