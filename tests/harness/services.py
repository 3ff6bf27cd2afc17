"""Services in the test's own process, on real sockets, and calls to them."""

import importlib
import inspect
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from fleetdesk_local.nats_server import NatsServer
from fleetkit.clock import Clock
from fleetkit.config import FleetSettings
from fleetkit.events import streams
from fleetkit.events.envelope import cloud_event_headers, event_subject, to_body
from fleetkit.ids import new_id
from fleetkit.postgres import Database
from fleetkit.rpc.client import RpcClients
from fleetkit.rpc.keys import KeyRing
from fleetkit.service import Runtime, serving
from google.protobuf.message import Message
from nats.aio.client import Client
from psycopg.rows import dict_row
from pydantic import SecretStr

from harness.databases import Databases, TestDatabase

Stub = TypeVar("Stub")


@dataclass(slots=True)
class Running:
    """A service that serves: its runtime, its private database, and calls to it."""

    name: str
    rt: Runtime
    database: TestDatabase
    clock_file: Path
    keys_dir: Path
    _exit: AsyncExitStack
    _clients: dict[str, RpcClients] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Its gRPC target."""
        return f"127.0.0.1:{self.rt.ports['grpc']}"

    @property
    def http_url(self) -> str:
        """Of its HTTP server, where it has one."""
        return f"http://127.0.0.1:{self.rt.ports['http']}"

    @property
    def db(self) -> Database:
        """Its own pool, with its own role."""
        return self.rt.db

    def stub(self, stub_class: Callable[[Any], Stub], caller: str) -> Stub:
        """A stub over a real channel, calling as the service `caller`."""
        if caller not in self._clients:
            keyring = KeyRing.load(self.keys_dir, caller)
            settings = self.rt.settings.model_copy(
                update={f"{self.name.replace('-', '_')}_address": self.address}
            )
            self._clients[caller] = RpcClients(settings, keyring, Clock())
        return stub_class(self._clients[caller].channel(self.name))

    def advance(self, seconds: float) -> None:
        """Moves the service's fleet clock forward."""
        now_s = json.loads(self.clock_file.read_text())["offset_s"]
        self.clock_file.write_text(json.dumps({"offset_s": now_s + seconds}))

    async def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Rows of any tenant, read as the administrator, who is above the policies."""
        schema = self.name.replace("-", "_")
        async with (
            await psycopg.AsyncConnection.connect(
                self.database.admin_url, options=f"-c search_path={schema},extensions"
            ) as conn,
            conn.cursor(row_factory=dict_row) as cursor,
        ):
            await cursor.execute(query, parameters)  # pyright: ignore[reportArgumentType]
            return await cursor.fetchall()

    async def events(self, message_type: type[Message]) -> list[dict[str, Any]]:
        """The bodies of the events of a type in its outbox, oldest first."""
        rows = await self.rows(
            "select body from outbox where type = %s order by id",
            message_type.DESCRIPTOR.full_name,
        )
        return [json.loads(row["body"]) for row in rows]

    async def stop(self) -> None:
        """Drains and closes it; the test's end does it otherwise."""
        for clients in self._clients.values():
            await clients.close()
        self._clients.clear()
        await self._exit.aclose()


class FleetServices:
    """Starts services; each gets a private database, blob folder and clock."""

    def __init__(
        self, databases: Databases, nats_server: NatsServer, keys_dir: Path, folder: Path
    ) -> None:
        self._databases = databases
        self._nats = nats_server
        self._keys_dir = keys_dir
        self._folder = folder
        self._running: list[Running] = []

    async def start(self, name: str, **settings: Any) -> Running:
        """Starts `name` with `settings` over the defaults of `settings_of`.

        `database` shares another's database instead of making one.
        """
        package = name.replace("-", "_")
        config = importlib.import_module(f"{package}.config")
        main = importlib.import_module(f"{package}.main")
        database = settings.pop("database", None) or await self._databases.copy(name)
        complete = self.settings_of(_settings_class(config), database, **settings)
        exit_stack = AsyncExitStack()
        rt = await exit_stack.enter_async_context(serving(complete, main.build))
        assert complete.clock_file is not None
        running = Running(name, rt, database, complete.clock_file, self._keys_dir, exit_stack)
        self._running.append(running)
        return running

    def settings_of(
        self, settings_class: type[FleetSettings], database: TestDatabase, **settings: Any
    ) -> FleetSettings:
        """Settings of a service for a test; what is not given points to the run's servers."""
        name = settings_class.service
        clock_file = self._folder / f"{name}-clock.json"
        if not clock_file.exists():
            clock_file.write_text('{"offset_s": 0}')
        known: dict[str, Any] = {
            "postgres_url": SecretStr(database.url),
            "postgres_owner_url": SecretStr(database.owner_url),
            "nats_url": self._nats.url,
            "nats_nkey_file": self._nats.seed_file(name),
            "keys_dir": self._keys_dir,
            "blob_url": f"file://{self._folder}/blobs/{name}",
            "clock_file": clock_file,
            "shutdown_grace_s": 1.0,
        }
        return settings_class(**{**known, **settings})

    async def stop_all(self) -> None:
        """Stops them, last started first."""
        while self._running:
            await self._running.pop().stop()


class TestBus:
    """The bus as the administrator sees it: speaks for any service, hears everything."""

    __test__ = False

    def __init__(self, client: Client) -> None:
        self.client = client
        self.js = client.jetstream()

    async def emit(self, event: Message, tenant_id: UUID, *, late: bool = False) -> UUID:
        """Publishes an event as its owner's relay would; fills in what is empty. Its id.

        `late` as after the stream's duplicate window: it takes an event that it has.
        """
        full_name = event.DESCRIPTOR.full_name
        fields: Any = event
        fields.event_id = fields.event_id or str(new_id())
        fields.tenant_id = fields.tenant_id or str(tenant_id)
        if not fields.HasField("occur_time"):
            fields.occur_time.GetCurrentTime()
        await streams.declare_stream(self.js, full_name.split(".")[1])
        headers = cloud_event_headers(
            event_id=UUID(fields.event_id),
            event_type=full_name,
            tenant_id=tenant_id,
            occur_time=fields.occur_time.ToDatetime(),
        )
        if late:
            del headers["Nats-Msg-Id"]
        subject = event_subject(full_name, str(tenant_id))
        await self.js.publish(subject, to_body(event).encode(), headers=headers)
        return UUID(fields.event_id)

    async def purge(self) -> None:
        """Deletes all streams."""
        for stream in await self.js.streams_info():
            await self.js.delete_stream(str(stream.config.name))


def _settings_class(module: Any) -> type[FleetSettings]:
    """The settings of a service: the one subclass of FleetSettings in its config.py."""
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, FleetSettings) and member.__module__ == module.__name__
    ]
    assert len(found) == 1, f"{module.__name__} has {len(found)} settings classes"
    return found[0]
