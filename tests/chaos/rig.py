"""A producer and two consumers as processes of their own, over servers of their own to kill."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from fleetdesk.gateway.v1.events_pb2 import TenantCreated
from fleetdesk_local.nats_server import NatsServer
from fleetdesk_local.postgres import PostgresServer
from fleetdesk_local.postgres_cluster import remove_cluster
from fleetkit.errors import FleetError
from fleetkit.events import publish
from fleetkit.ids import new_id
from fleetkit.postgres import Database
from fleetkit.postgres.migrations import migrate
from fleetkit.postgres.provision import owner_of, provision, role_url, schema_of
from fleetkit.rpc.keys import generate_keys
from harness.probe.settings import ProducerSettings
from pydantic import SecretStr

TESTS = Path(__file__).parents[1]
PRODUCER, CONSUMERS = "producer", ("consumer-1", "consumer-2")
PROCESSES = (PRODUCER, *CONSUMERS)
SERVERS = ("nats", "postgres")
_PROBE = "probe"
_POLL_S = 0.05
_PATIENCE_S = 60.0


@dataclass
class Written:
    """What the producer's transactions told: committed for sure, or nobody knows."""

    committed: dict[UUID, TenantCreated] = field(default_factory=dict)
    uncertain: set[UUID] = field(default_factory=set)
    newest: dict[str, int] = field(default_factory=dict)


class Rig:
    """Starts, kills and counts; use `rig`."""

    def __init__(
        self, folder: Path, nats: NatsServer, postgres: PostgresServer, ack_wait_s: float
    ) -> None:
        self.folder = folder
        self._ack_wait_s = ack_wait_s
        self.nats = nats
        self.postgres = postgres
        self.tenant_id = uuid4()
        self.written = Written()
        self.db: Database  # the producer's, opened by `rig`
        self.environments: dict[str, dict[str, str]] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._urls: dict[str, str] = {}

    async def prepare(self) -> None:
        """Makes both databases and the processes' environments."""
        keys = self.folder / "keys"
        generate_keys(keys, ["gateway", "billing"])
        for side, service in (("producer", "gateway"), ("consumer", "billing")):
            database = f"chaos_{side}"
            passwords = await provision(
                self.postgres.admin_url,
                [_PROBE],
                database=database,
                passwords=dict.fromkeys((schema_of(_PROBE), owner_of(_PROBE)), "chaos"),
            )
            owner, role = owner_of(_PROBE), schema_of(_PROBE)
            admin = self.postgres.admin_url
            await migrate(role_url(admin, owner, passwords[owner], database), "harness.probe")
            self._urls[side] = role_url(admin, role, passwords[role], database)
            for name in PROCESSES:
                if name.startswith(side):
                    self.environments[name] = {
                        "FLEETDESK_POSTGRES_URL": self._urls[side],
                        "FLEETDESK_NATS_URL": self.nats.url,
                        "FLEETDESK_NATS_ACK_WAIT_S": str(self._ack_wait_s),
                        "FLEETDESK_NATS_NKEY_FILE": str(self.nats.seed_file(service)),
                        "FLEETDESK_KEYS_DIR": str(keys),
                        "FLEETDESK_DIE_FILE": str(self.folder / f"{name}.die"),
                    }

    async def open(self) -> Database:
        """The producer's tables, for the transactions that write events."""
        settings = ProducerSettings(
            postgres_url=SecretStr(self._urls["producer"]), keys_dir=self.folder / "keys"
        )
        self.db = await Database.open(settings)
        return self.db

    def start(self, name: str, **environment: str) -> None:
        """Starts a process; what is in `environment` stays set when it is started again."""
        self.environments[name] |= environment
        module = f"harness.probe.{name.partition('-')[0]}"
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", module],
                env={**os.environ, **self.environments[name], "PYTHONPATH": str(TESTS)},
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str) -> None:
        """`kill -9` of a process or a server."""
        if name in self._processes:
            self._processes[name].kill()
            self._processes[name].wait()
        else:
            server = self.nats if name == "nats" else self.postgres
            assert server._process is not None
            process = server._process._process
            assert process is not None
            process.kill()
            # PostgreSQL refuses to start beside a process that nobody has buried.
            process.wait()

    def arm(self, consumer: str, after: int = 0) -> None:
        """Has a consumer kill itself between its next commit and the acknowledgement.

        Or, before the commit, when it has noted `after` more events.
        """
        file = Path(self.environments[consumer]["FLEETDESK_DIE_FILE"])
        file.write_text(str(after) if after else "")

    def disarm(self, process: str) -> None:
        """Lets it live."""
        Path(self.environments[process]["FLEETDESK_DIE_FILE"]).unlink(missing_ok=True)

    def said(self, name: str, event: bytes) -> bool:
        """Whether the event is in a process's log."""
        return event in (self.folder / f"{name}.log").read_bytes()

    async def died(self, name: str) -> None:
        """Waits until a process has ended by itself."""
        until = time.monotonic() + _PATIENCE_S
        while self._processes[name].poll() is None:
            assert time.monotonic() < until, f"{name} lives: see {self.folder}"
            await asyncio.sleep(_POLL_S)

    async def restart(self, name: str) -> None:
        """Starts what was killed again."""
        if name in self._processes:
            self.start(name)
        else:
            server = self.nats if name == "nats" else self.postgres
            await asyncio.to_thread(server.start)

    def end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    async def write(self, count: int, aggregates: int = 50) -> list[UUID]:
        """Writes events in one transaction; returns the ids once it is committed.

        FleetError or psycopg.Error when it was not, or when nobody knows.
        """
        events: list[TenantCreated] = []
        for number in range(count):
            agent = f"agent-{number % aggregates}"
            revision = self.written.newest.get(agent, 0) + 1
            self.written.newest[agent] = revision
            events.append(TenantCreated(event_id=str(new_id()), agent_id=agent, revision=revision))
        ids = [UUID(event.event_id) for event in events]
        self.written.uncertain |= set(ids)
        async with self.db.tenant(self.tenant_id) as conn:
            for event in events:
                await publish(conn, event, revision=event.revision)
        self.written.uncertain -= set(ids)
        self.written.committed |= dict(zip(ids, events, strict=True))
        return ids

    async def write_one_now(self) -> UUID:
        """Writes an event as soon as the database takes it."""
        while True:
            try:
                return (await self.write(1))[0]
            except (FleetError, psycopg.Error):
                await asyncio.sleep(_POLL_S)

    async def recovered(self) -> float:
        """Seconds until an event that is written from now on has been handled."""
        began = time.monotonic()
        event_id = await self.write_one_now()
        await self.handled([event_id])
        return time.monotonic() - began

    async def handled(self, ids: list[UUID]) -> None:
        """Waits until all of them are noted."""
        until = time.monotonic() + _PATIENCE_S
        wanted = {str(event_id) for event_id in ids}
        while wanted - set(await self.labels(wanted)):
            assert time.monotonic() < until, f"not handled in {_PATIENCE_S} s: see {self.folder}"
            await asyncio.sleep(_POLL_S + len(wanted) / 10_000)

    async def labels(self, only: set[str] | None = None) -> list[str]:
        """The notes' labels, each as often as it was noted; none while the server is away."""
        try:
            return [
                row[0]
                for row in await self._consumer_rows(
                    "select label from note where %(only)s::text[] is null"
                    " or label = any(%(only)s)",
                    {"only": list(only) if only is not None else None},
                )
            ]
        except psycopg.Error:
            return []

    async def noted(self) -> int:
        """How many notes there are; 0 while the server is away."""
        try:
            return (await self._consumer_rows("select count(*) from note", {}))[0][0]
        except psycopg.Error:
            return 0

    async def assert_exactly_once(self) -> None:
        """Everything committed was handled once, and nothing else; states are the newest."""
        labels = await self.labels()
        twice = len(labels) - len(set(labels))
        missing = {str(event_id) for event_id in self.written.committed} - set(labels)
        unknown = set(labels) - {
            str(event_id) for event_id in (*self.written.committed, *self.written.uncertain)
        }
        assert (twice, missing, unknown) == (0, set(), set()), (
            f"{twice} handled twice, {len(missing)} lost, {len(unknown)} never written"
        )
        newest: dict[str, int] = {}
        for event in self.written.committed.values():
            newest[event.agent_id] = max(newest.get(event.agent_id, 0), event.revision)
        rows = await self._consumer_rows("select aggregate_id, revision from revision_seen", {})
        seen: dict[str, int] = dict(rows)
        assert all(seen[agent] >= revision for agent, revision in newest.items())
        assert not await self._consumer_rows("select 1 from dead_letter", {})

    async def _consumer_rows(self, query: str, parameters: dict[str, Any]) -> list[Any]:
        async with await psycopg.AsyncConnection.connect(
            self._urls["consumer"], connect_timeout=2
        ) as conn:
            await conn.execute(
                "select set_config('fleetdesk.tenant_id', %s, true)", [str(self.tenant_id)]
            )
            found = await conn.execute(query, parameters)  # pyright: ignore[reportArgumentType]
            return await found.fetchall()


@asynccontextmanager
async def rig(
    folder: Path, nats_folder: Path | None = None, *, ack_wait_s: float = 30.0
) -> AsyncIterator[Rig]:
    """Servers with durable storage and both databases; processes are started by hand.

    `ack_wait_s`: after which the events come again that a killed consumer had in hand.
    """
    async with AsyncExitStack() as stack:
        postgres = PostgresServer(folder / "postgres")
        stack.callback(remove_cluster, postgres.data_dir)
        stack.callback(postgres.stop)
        await asyncio.to_thread(postgres.start)
        nats = NatsServer(nats_folder or folder / "bus")
        stack.callback(nats.stop)
        await asyncio.to_thread(nats.start)
        made = Rig(folder, nats, postgres, ack_wait_s)
        await made.prepare()
        stack.push_async_callback((await made.open()).close)
        stack.callback(made.end)
        yield made
