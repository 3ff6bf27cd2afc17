"""Whatever a request holds, an RPC answers with a status that says who is to mend what."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from fleetdesk_local.roster import SERVICES
from fleetkit.context import Identity
from fleetkit.rpc.access import Access, access_of_service
from fleetkit.rpc.identity import mint_caller, mint_identity
from fleetkit.rpc.keys import KeyRing
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from harness.desk import NOWHERE
from harness.rpc_requests import Ids, requests
from harness.services import Running

_ROLES = ("viewer", "agent", "admin", "owner")
_TIMEOUT_S = 20.0
_LISTEN_S = 0.5
_MOST_ANSWERS = 200
_OURS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
# Waits for what happens next in a conversation, and so ends only when its listener leaves.
_LISTENS = {"fleetdesk.conversation.v1.ConversationService.WatchConversation"}
_FIRST, _LAST = ("Create", "Begin", "Upload"), ("Delete", "Erase")


def _methods(running: Running) -> list[MethodDescriptor]:
    """What a service serves, makers first and destroyers last."""
    served = running.rt.server._services
    found = [
        method for name in sorted(served) for method in Default().FindServiceByName(name).methods
    ]
    return sorted(
        found,
        key=lambda each: (each.name.startswith(_LAST) - each.name.startswith(_FIRST), each.name),
    )


class Callers:
    """Everybody who may call a method, each with good tokens of one tenant."""

    def __init__(self, running: Running, tenant_id: UUID) -> None:
        self._callee = running.name
        self._tenant_id = tenant_id
        self._rings = {name: KeyRing.load(running.keys_dir, name) for name in SERVICES}

    def of(self, access: Access) -> Iterator[tuple[str, dict[str, str]]]:
        """(who, metadata)."""
        for caller in sorted(access.callers):
            token = mint_caller(self._rings[caller], self._callee)
            if access.min_rank:
                role = _ROLES[access.min_rank - 1]
                yield f"{caller} for an {role}", self._as("user", role, token)
            if access.visitor:
                yield f"{caller} for a visitor", self._as("visitor", "visitor", token)
        for caller in sorted(access.background):
            token = mint_caller(self._rings[caller], self._callee, self._tenant_id)
            yield f"{caller} itself", {"fd-caller": token}

    def _as(self, kind: Any, role: str, caller: str) -> dict[str, str]:
        conversation = uuid4() if kind == "visitor" else None
        person = Identity(self._tenant_id, str(uuid4()), kind, frozenset({role}), conversation)
        identity = mint_identity(self._rings["gateway"], person, _TIMEOUT_S)
        return {"fd-caller": caller, "fd-identity": identity}


class Line:
    """A channel to a service, and what came of the calls over it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self.ids = Ids()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.findings: list[str] = []

    async def call(
        self, method: MethodDescriptor, who: str, metadata: dict[str, str], request: Message
    ) -> None:
        """Makes one call and judges its answer."""
        started = time.monotonic()
        code, detail = await self._status(method, request, metadata)
        self.outcomes[method.name, code.name] += 1
        if code in _OURS or time.monotonic() - started > _TIMEOUT_S:
            said = f"{method.full_name} by {who}: {code.name}: {detail}\n{request!r:.1500}"
            self.findings.append(said)

    async def _status(
        self, method: MethodDescriptor, request: Message, metadata: dict[str, str]
    ) -> tuple[grpc.StatusCode, str]:
        try:
            async with asyncio.timeout(_LISTEN_S if method.full_name in _LISTENS else None):
                async for answer in self._answers(method, request, metadata):
                    self.ids.learn(answer)
        except grpc.aio.AioRpcError as error:
            return error.code(), str(error.details())
        except TimeoutError:
            return grpc.StatusCode.OK, "listened"
        return grpc.StatusCode.OK, ""

    async def _answers(
        self, method: MethodDescriptor, request: Message, metadata: dict[str, str]
    ) -> AsyncIterator[Message]:
        shape: Any = getattr(
            self._channel,
            f"{'stream' if method.client_streaming else 'unary'}_"
            f"{'stream' if method.server_streaming else 'unary'}",
        )
        call = shape(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )(
            _pieces(request) if method.client_streaming else request,
            timeout=_TIMEOUT_S,
            metadata=tuple(metadata.items()),
        )
        if not method.server_streaming:
            yield await call
            return
        count = 0
        async for answer in call:
            yield answer
            count += 1
            if count >= _MOST_ANSWERS:
                call.cancel()
                return


def _pieces(request: Message) -> list[Message]:
    """A stream of requests: this one, and one that says the rest of it."""
    rest = type(request)()
    rest.MergeFromString(b"\x12\x05hello")
    return [request, rest]


def _settings(service: str, folder: Path) -> dict[str, Any]:
    """Whoever a service calls is away: it says UNAVAILABLE, or answers without."""
    called = {f"{name}_address": NOWHERE for name in _CALLED.get(service, ())}
    own = {"embed_workers": 1, "model_cache_dir": folder} if service == "llm-gateway" else {}
    return {**called, **own}


_CALLED = {
    "conversation": ("billing", "llm_gateway", "memory", "retrieval", "analytics"),
    "retrieval": ("llm_gateway",),
    "vision-agent": ("billing", "conversation", "llm_gateway"),
}
SERVING = [name for name in SERVICES if name != "gateway"]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("service", SERVING)
async def test_no_request_is_too_much(
    service: str,
    fleet_service: Callable[..., Any],
    tmp_path: Path,
    tenant_id: UUID,
    examples: int,
):
    running: Running = await fleet_service(service, **_settings(service, tmp_path))
    callers = Callers(running, tenant_id)
    async with grpc.aio.insecure_channel(running.address) as channel:
        line = Line(channel)
        for method in _methods(running):
            access = access_of_service(method.containing_service.full_name)[method.name]
            made = requests(method, examples)
            for who, metadata in callers.of(access):
                for request in made:
                    await line.call(method, who, metadata, line.ids.use(request))
    for (name, code), count in sorted(line.outcomes.items()):
        print(f"{count:6}  {service}  {name}  {code}")
    assert len(line.outcomes) >= len(_methods(running)) > 0
    assert not line.findings, "\n\n".join(line.findings)
    async with running.db.tenant(tenant_id) as conn:
        await conn.execute("select 1")
