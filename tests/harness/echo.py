"""A service of one's own for the tests of fleetkit: one method per shape and per rule."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import grpc
from fleetkit.clock import Clock
from fleetkit.config import FleetSettings
from fleetkit.rpc.client import RpcClients
from fleetkit.rpc.keys import KeyRing
from fleetkit.rpc.server import RpcServer

Handler = Callable[..., Any]


@dataclass(frozen=True)
class EchoProtos:
    """The generated modules of protos/*.proto."""

    pb: Any
    echo: Any
    unguarded: Any


def settings_of(service_name: str, keys_dir: Path, **values: Any) -> FleetSettings:
    class Settings(FleetSettings):
        service: ClassVar[str] = service_name

    given = {"postgres_url": "postgresql://nobody@127.0.0.1:1/none", "keys_dir": keys_dir}
    return Settings(**{**given, **values})


@dataclass
class Echo:
    """A servicer whose answers a test sets: `handlers["Say"] = async def (request, context)`."""

    protos: EchoProtos
    handlers: dict[str, Handler] = field(default_factory=dict)

    async def _answer(self, name: str, request: Any, call: Any) -> Any:
        return await self.handlers.get(name, self._echo)(request, call)

    async def _echo(self, request: Any, call: Any) -> Any:
        return request

    async def Say(self, request: Any, call: Any) -> Any:
        return await self._answer("Say", request, call)

    async def SayToVisitor(self, request: Any, call: Any) -> Any:
        return await self._answer("SayToVisitor", request, call)

    async def SayInPublic(self, request: Any, call: Any) -> Any:
        return await self._answer("SayInPublic", request, call)

    async def Count(self, request: Any, call: Any) -> AsyncIterator[Any]:
        counting = self.handlers.get("Count", self._count)
        async for text in counting(request, call):
            yield text

    async def _count(self, request: Any, call: Any) -> AsyncIterator[Any]:
        for number in range(3):
            yield self.text(str(number))

    async def Gather(self, requests: Any, call: Any) -> Any:
        return self.text("".join([request.text async for request in requests]))

    async def Chat(self, requests: Any, call: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield self.text(request.text.upper())

    def text(self, text: str = "") -> Any:
        return self.protos.pb.Text(text=text)


class EchoService:
    """The service "retrieval" serving `echo`, and clients of it."""

    def __init__(self, protos: EchoProtos, keys_dir: Path) -> None:
        self.protos = protos
        self.keys_dir = keys_dir
        self.echo = Echo(protos)
        self.settings = settings_of("retrieval", keys_dir)
        self.port = 0
        self._open: list[Callable[[], Awaitable[None]]] = []

    def keyring(self, service: str) -> KeyRing:
        return KeyRing.load(self.keys_dir, service)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        """Serves, on a new server after a stop; `port` 0 takes a free one."""
        settings = settings_of("retrieval", self.keys_dir, grpc_bind=f"127.0.0.1:{port}")
        self.server = RpcServer(settings, self.keyring("retrieval"), Clock())
        self.server.add(self.protos.echo.add_EchoServiceServicer_to_server, self.echo)
        self.port = await self.server.start()

    def stub(self, caller: str, *, port: int | None = None, path_prefix: str = "") -> Any:
        """The stub that the service `caller` would use."""
        address = f"127.0.0.1:{port or self.port}"
        settings = settings_of(caller, self.keys_dir, retrieval_address=address)
        clients = RpcClients(settings, self.keyring(caller), Clock())
        self._open.append(clients.close)
        channel = clients.channel("retrieval")
        return self.protos.echo.EchoServiceStub(_Elsewhere(channel, path_prefix))

    def bare_stub(self) -> Any:
        """A stub over a plain gRPC channel, which adds and translates nothing."""
        channel = grpc.aio.insecure_channel(self.address)
        self._open.append(channel.close)
        return self.protos.echo.EchoServiceStub(channel)

    def bare_channel(self) -> Any:
        channel = grpc.aio.insecure_channel(self.address)
        self._open.append(channel.close)
        return channel

    def text(self, text: str = "") -> Any:
        return self.protos.pb.Text(text=text)

    async def stop(self) -> None:
        for close in self._open:
            await close()
        await self.server.stop(None)


class _Elsewhere:
    """A channel whose methods all stand under another path."""

    def __init__(self, channel: grpc.aio.Channel, prefix: str) -> None:
        self._channel = channel
        self._prefix = prefix

    def __getattr__(self, shape: str) -> Callable[..., Any]:
        return lambda path, **options: getattr(self._channel, shape)(self._prefix + path, **options)
