"""What each RPC must refuse, derived from the access option in its proto."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fleetdesk_local.roster import SERVICES
from fleetkit.context import Identity
from fleetkit.rpc.access import Access, access_of_service
from fleetkit.rpc.identity import mint_caller, mint_identity
from fleetkit.rpc.keys import KeyRing
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from harness.services import Running

_ROLES = ("viewer", "agent", "admin", "owner")
_NOT_KNOWN = grpc.StatusCode.UNAUTHENTICATED
_MAY_NOT = grpc.StatusCode.PERMISSION_DENIED


@dataclass(frozen=True, slots=True)
class Stranger:
    """A call that must be refused, by its metadata, and the status it gets."""

    name: str
    metadata: dict[str, str]
    code: grpc.StatusCode


async def assert_refuses_strangers(running: Running, method: str, request: Message) -> None:
    """Calls `method` ("fleetdesk.x.v1.XService.Do") as everybody who may not; each is refused.

    Missing, forged, expired and misaddressed tokens, callers that are not listed, roles below
    the lowest, visitors where none are accepted, calls without a person or a tenant.
    """
    strangers = list(strangers_to(running, method))
    assert strangers
    async with grpc.aio.insecure_channel(running.address) as channel:
        for stranger in strangers:
            code = await _status(channel, method, request, stranger.metadata)
            assert code is stranger.code, f"{stranger.name}: {code} instead of {stranger.code}"


def strangers_to(running: Running, method: str) -> Iterator[Stranger]:
    """The calls that `method` must refuse."""
    service, _, name = method.rpartition(".")
    access = access_of_service(service)[name]
    make = _Tokens(running)
    allowed = sorted(access.callers | access.background)
    caller = allowed[0]
    person = {"fd-identity": make.identity(make.role_for(access))}
    yield Stranger("no tokens", {}, _NOT_KNOWN)
    yield Stranger("no caller", person, _NOT_KNOWN)
    for kind, token in make.bad_callers(caller):
        yield Stranger(f"caller: {kind}", {**person, "fd-caller": token}, _NOT_KNOWN)
    for other in sorted(set(SERVICES) - set(allowed)):
        yield Stranger(
            f"caller not listed: {other}", {**person, "fd-caller": make.caller(other)}, _MAY_NOT
        )
    if access.callers:
        yield from _strange_persons(access, make, min(access.callers))
    if access.background and not access.no_tenant:
        background = min(access.background)
        yield Stranger("no tenant", {"fd-caller": make.caller(background)}, _NOT_KNOWN)
    for listed in sorted(access.callers - access.background):
        yield Stranger("no person", {"fd-caller": make.caller(listed)}, _NOT_KNOWN)


def _strange_persons(access: Access, make: "_Tokens", caller: str) -> Iterator[Stranger]:
    calling = {"fd-caller": make.caller(caller)}
    for kind, token in make.bad_identities(make.role_for(access)):
        yield Stranger(f"person: {kind}", {**calling, "fd-identity": token}, _NOT_KNOWN)
    for role in ("", *_ROLES[: max(access.min_rank - 1, 0)]):
        identity = make.identity(role)
        yield Stranger(f"role {role or 'none'}", {**calling, "fd-identity": identity}, _MAY_NOT)
    if not access.visitor:
        visitor = make.identity("visitor", kind="visitor")
        yield Stranger("visitor", {**calling, "fd-identity": visitor}, _MAY_NOT)


class _Tokens:
    """Good and bad tokens for one service."""

    def __init__(self, running: Running) -> None:
        self._callee = running.name
        self._rings = {name: KeyRing.load(running.keys_dir, name) for name in SERVICES}

    def role_for(self, access: Access) -> str:
        return _ROLES[max(access.min_rank - 1, 0)]

    def caller(self, service: str) -> str:
        return mint_caller(self._rings[service], self._callee)

    def identity(self, role: str, kind: Any = "user") -> str:
        conversation = uuid4() if kind == "visitor" else None
        person = Identity(uuid4(), str(uuid4()), kind, frozenset({role} - {""}), conversation)
        return mint_identity(self._rings["gateway"], person, 30)

    def bad_callers(self, service: str) -> Iterator[tuple[str, str]]:
        ring = self._rings[service]
        other = next(name for name in SERVICES if name not in {self._callee, service})
        good = self.caller(service)
        yield "not a token", "x"
        yield "for another callee", mint_caller(ring, other)
        yield "signed by a stranger", _signed_again(good, Ed25519PrivateKey.generate())
        yield "signed by another service", _signed_again(good, self._rings[other].private)
        yield "expired", _expired(good, ring.private)
        yield "an fd-identity", self.identity("owner")

    def bad_identities(self, role: str) -> Iterator[tuple[str, str]]:
        good = self.identity(role)
        gateway = self._rings["gateway"]
        yield "not a token", "x"
        yield "signed by a stranger", _signed_again(good, Ed25519PrivateKey.generate())
        yield "signed by another service", _signed_again(good, self._rings["memory"].private)
        yield "expired", _expired(good, gateway.private)
        yield "an fd-caller", mint_caller(gateway, self._callee, uuid4())


def _signed_again(token: str, key: Ed25519PrivateKey, **changes: Any) -> str:
    claims = jwt.decode(token, options={"verify_signature": False}) | changes
    return jwt.encode(claims, key, algorithm="EdDSA", headers=jwt.get_unverified_header(token))


def _expired(token: str, key: Ed25519PrivateKey) -> str:
    then = int(time.time()) - 600
    return _signed_again(token, key, iat=then, exp=then + 60)


async def _status(
    channel: grpc.aio.Channel, method: str, request: Message, metadata: dict[str, str]
) -> grpc.StatusCode:
    service, _, name = method.rpartition(".")
    descriptor = descriptor_pool.Default().FindMethodByName(method)
    response = GetMessageClass(descriptor.output_type)
    shape: Any = channel.unary_stream if descriptor.server_streaming else channel.unary_unary
    call = shape(
        f"/{service}/{name}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=response.FromString,
    )(request, timeout=10, metadata=tuple(metadata.items()))
    try:
        if descriptor.server_streaming:
            async for _ in call:
                break
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
