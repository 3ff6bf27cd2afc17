"""`kill -9` of a real process between a paid call and the commit of what it paid for."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from conversation.config import Settings
from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.llm_gateway.v1.usage_pb2 import UsageEntry
from fleetkit.clock import Clock
from fleetkit.errors import Unavailable
from fleetkit.postgres import remember_tenant
from fleetkit.rpc.client import RpcClients
from fleetkit.rpc.keys import KeyRing
from harness.conversing import Visitor, kinds, said
from harness.services import FleetServices, Running
from harness.waiting import eventually
from pydantic import SecretStr

QUESTION = "How do I reset the router?"


class Process:
    """Conversation in a process of its own, with a stub like a `Running` has."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._port_file = folder / "ports.json"
        self._process: asyncio.subprocess.Process | None = None
        self._clients: RpcClients | None = None

    async def start(self) -> None:
        """Starts it, and waits until it serves."""
        self._port_file.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "conversation",
            env={**os.environ, **self._environment()},
            stderr=asyncio.subprocess.DEVNULL,
        )
        await eventually(self._has_ports, timeout_s=60)
        port = json.loads(self._port_file.read_text())["grpc"]
        await self._forget_clients()
        keyring = KeyRing.load(self._settings.keys_dir, "gateway")
        settings = self._settings.model_copy(update={"conversation_address": f"127.0.0.1:{port}"})
        self._clients = RpcClients(settings, keyring, Clock())

    async def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def end(self) -> None:
        """Ends it, if it runs."""
        if self._process is not None and self._process.returncode is None:
            await self.kill()
        await self._forget_clients()

    def stub(self, stub_class: Any, caller: str) -> Any:
        assert self._clients is not None
        assert caller == "gateway"
        return stub_class(self._clients.channel("conversation"))

    async def _has_ports(self) -> bool:
        return self._port_file.exists()

    async def _forget_clients(self) -> None:
        if self._clients is not None:
            await self._clients.close()
            self._clients = None

    def _environment(self) -> dict[str, str]:
        values: dict[str, str] = {"FLEETDESK_PORT_FILE": str(self._port_file)}
        for name, value in self._settings:
            if value is not None and name != "port_file":
                shown = value.get_secret_value() if isinstance(value, SecretStr) else value
                values[f"FLEETDESK_{name.upper()}"] = str(shown)
        return values


@pytest.fixture
async def process(
    fleet: FleetServices, neighbours: Any, running: Running, tmp_path: Path
) -> AsyncIterator[Process]:
    """A process that shares its database with `running`, which only looks on."""
    settings = fleet.settings_of(
        Settings, running.database, **neighbours.settings, turn_lease_s=2, turn_sweep_interval_s=0.5
    )
    assert isinstance(settings, Settings)
    process = Process(settings, tmp_path)
    await process.start()
    yield process
    await process.end()


async def execute(running: Running, *statements: Any) -> None:
    """Runs statements as the administrator."""
    async with await psycopg.AsyncConnection.connect(
        running.database.admin_url, autocommit=True, options="-c search_path=conversation"
    ) as conn:
        for statement in statements:
            await conn.execute(statement)


async def hold_commits(running: Running) -> None:
    """Makes each commit of an answer wait in the database."""
    await execute(
        running,
        "create function hold() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(600); return new; end; $$",
        "grant execute on function hold() to conversation",
        "create trigger hold before update on message for each row"
        " when (new.status = 'completed' and old.status = 'answering')"
        " execute function hold()",
    )


async def let_commits_pass(running: Running) -> None:
    """Ends what still waits of a process that is dead."""
    await execute(
        running,
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where wait_event = 'PgSleep' and datname = current_database()",
        "drop trigger hold on message",
    )


async def ask_and_kill(visitor: Visitor, process: Process, neighbours: Any) -> list[pb.TurnEvent]:
    """Asks; kills the process once the answer is paid for; what was heard until then."""
    heard: list[pb.TurnEvent] = []

    async def listen() -> None:
        events = visitor.asking(QUESTION, "r1")
        while True:
            heard.append(await anext(events))

    listening = asyncio.create_task(listen())

    async def paid_and_heard() -> bool:
        paid = [each for each in neighbours.llm.ledger if each.service == "conversation"]
        return bool(paid) and any(event.HasField("delta") for event in heard)

    await eventually(paid_and_heard)
    await process.kill()
    with pytest.raises(Unavailable):
        await listening
    return heard


class TestKill:
    async def test_a_paid_answer_that_was_not_committed_fails_with_its_cost(
        self, running, process, arrive, neighbours
    ):
        visitor = (await arrive(running)).on(process)
        async with running.db.tenant(visitor.tenant_id) as conn:
            await remember_tenant(conn, visitor.tenant_id)
        await hold_commits(running)
        heard = await ask_and_kill(visitor, process, neighbours)
        await let_commits_pass(running)
        await process.start()
        # The same request again hears the same beginning, and how it ended.
        turn = await visitor.ask(QUESTION, "r1")
        assert turn[: len(heard)] == heard
        assert kinds(turn) == ["started", "delta", "failed"]
        failed = turn[-1].failed
        assert failed.reason == "INTERRUPTED"
        assert failed.message.text == said(turn)
        paid: list[UsageEntry] = neighbours.llm.ledger
        assert failed.message.receipt.total_nanos == sum(each.amount_nanos for each in paid) > 0
        found = await visitor.read(with_receipts=True)
        assert found.messages[1].receipt == failed.message.receipt
        assert found.messages[1].status == pb.MESSAGE_STATUS_FAILED
        # And the next question is answered.
        assert kinds(await visitor.ask("And now?"))[-1] == "finished"

    async def test_what_was_committed_is_told_to_memory_after_the_kill(
        self, running, process, arrive, neighbours
    ):
        await running.stop()
        neighbours.memory.error = Unavailable("away")
        visitor = await arrive(process)
        turn = await visitor.ask(QUESTION)
        await process.kill()
        neighbours.memory.error = None
        # Half a minute later: a job that the dead process had begun is anybody's again.
        await execute(running, "update job set lease_until = now(), run_at = now()")
        await process.start()

        async def told() -> bool:
            return len(neighbours.memory.recorded) >= 2

        await eventually(told, timeout_s=60)
        ids = {UUID(each.turn.message_id) for each in neighbours.memory.recorded}
        assert UUID(turn[-1].message_id) in ids
