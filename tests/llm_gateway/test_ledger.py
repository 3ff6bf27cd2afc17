"""The cost ledger: each unit once, also when a process dies between the call and its settling."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest
from fakes.anthropic_server import Answer, FakeAnthropic
from fleetdesk.llm_gateway.v1 import events_pb2
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit import context
from fleetkit.clock import Clock
from fleetkit.context import Attribution
from fleetkit.errors import FailedPrecondition, Unavailable
from fleetkit.rpc.client import RpcClients
from fleetkit.rpc.keys import KeyRing
from harness.answers import ROUTER, Said, ask, asking, passage
from harness.services import Running
from harness.waiting import eventually
from llm_gateway import pricing
from llm_gateway.budgets import NewBudget, create_budget
from llm_gateway.entries import Meter
from llm_gateway.ledger import Ledger
from llm_gateway.pricing import Unit
from llm_gateway.store import ledger as store
from llm_gateway.sweeper import sweep_all

HAIKU = "anthropic/claude-haiku-5-5"


@pytest.fixture
async def running(start: Any) -> Running:
    return await start(embed_workers=0, anthropic_api_key="sk-unused", answer_model=HAIKU)


@pytest.fixture
def ledger(running: Running) -> Ledger:
    return Ledger(running.db, running.rt.clock, pricing.load())


def metered(*, complete: bool = True, **units: int) -> Meter:
    return Meter(True, complete, {Unit[name]: count for name, count in units.items()})


class TestSettling:
    async def test_a_long_prompt_is_priced_in_its_tier(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        at_most = {Unit.CACHE_WRITE_5M: 300_000, Unit.OUTPUT: 1_000}
        with context.background(tenant_id):
            call = await ledger.open_call(tenant_id, "answer", HAIKU, at_most)
            meter = metered(INPUT=50_000, CACHE_READ=50_000, CACHE_WRITE_5M=1, OUTPUT=10)
            await ledger.close_call(call, meter)
        rows = await running.rows("select kind, amount_nanos from usage_entry order by kind")
        # 100,001 prompt tokens: every token at the higher prices, by hand.
        assert {row["kind"]: row["amount_nanos"] for row in rows} == {
            "cache_read_token": 2_500_000,
            "cache_write_5m_token": 625,
            "input_token": 25_000_000,
            "output_token": 25_000,
        }
        assert call.row.reserved_nanos == 300_000 * 625 + 1_000 * 2_500
        with context.background(tenant_id):
            at_most = {Unit.INPUT: 60_000, Unit.CACHE_WRITE_5M: 40_000, Unit.OUTPUT: 1_000}
            short = await ledger.open_call(tenant_id, "answer", HAIKU, at_most)
        # No prompt within this bound can be of that tier.
        assert short.row.reserved_nanos == 60_000 * 100 + 40_000 * 125 + 1_000 * 500

    async def test_settling_twice_counts_once(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        with context.background(tenant_id):
            call = await ledger.open_call(tenant_id, "answer", HAIKU, {Unit.INPUT: 10})
            for _ in range(2):
                await ledger.close_call(call, metered(INPUT=7))
        assert len(await running.rows("select from usage_entry")) == 1
        assert len(await running.events(events_pb2.UsageRecorded)) == 1

    async def test_a_call_that_never_began_costs_nothing(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        with context.background(tenant_id):
            call = await ledger.open_call(tenant_id, "answer", HAIKU, {Unit.INPUT: 10})
            await ledger.close_call(call, Meter(), "PROVIDER_RATE_LIMITED")
        (row,) = await running.rows("select status, failure from usage_call")
        assert row == {"status": "failed", "failure": "PROVIDER_RATE_LIMITED"}
        assert await running.rows("select from usage_entry") == []
        assert await running.events(events_pb2.UsageRecorded) == []

    async def test_without_a_price_nothing_is_reserved(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        with pytest.raises(FailedPrecondition):
            await ledger.open_call(tenant_id, "answer", "anthropic/none", {Unit.INPUT: 1})
        assert await running.rows("select from usage_call") == []

    async def test_rows_cannot_be_changed_by_the_service(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        with context.background(tenant_id):
            call = await ledger.open_call(tenant_id, "answer", HAIKU, {Unit.INPUT: 10})
            await ledger.close_call(call, metered(INPUT=7))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with running.db.tenant(tenant_id) as conn:
                await conn.execute("update usage_entry set amount_nanos = 0")

    async def test_reserving_again_after_a_lost_connection_counts_once(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        new = NewBudget("tenant", None, "day", 10**12, hard=True)
        await create_budget(running.db, running.rt.clock, tenant_id, new)
        with context.background(tenant_id):
            call = await ledger.open_call(tenant_id, "answer", HAIKU, {Unit.OUTPUT: 10})
        assert await store.reserve_call(running.db, call.row, 60.0) is None
        (window,) = await running.rows("select reserved_nanos from budget_window")
        assert window["reserved_nanos"] == call.row.reserved_nanos
        assert len(await running.rows("select from usage_call")) == 1


class TestSweep:
    async def test_a_call_whose_time_is_over_becomes_unconfirmed_once(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        for_whom = Attribution("turn", message_id=uuid4())
        at_most = {Unit.INPUT: 1_000, Unit.OUTPUT: 100}
        with context.background(tenant_id, for_whom):
            call = await ledger.open_call(tenant_id, "answer", HAIKU, at_most)
            alive = await ledger.open_call(tenant_id, "answer", HAIKU, at_most)
        async with running.db.tenant(tenant_id) as conn:
            await conn.execute(
                "update usage_call set expire_time = now() - interval '1 s' where call_id = %s",
                [call.call_id],
            )
        assert await sweep_all(running.db, ledger) == 1
        assert await sweep_all(running.db, ledger) == 0
        rows = await running.rows("select * from usage_entry order by kind")
        assert [(r["kind"], r["units"], r["status"]) for r in rows] == [
            ("input_token", 1_000, "unconfirmed"),
            ("output_token", 100, "unconfirmed"),
        ]
        assert sum(row["amount_nanos"] for row in rows) == call.row.reserved_nanos
        assert {row["message_id"] for row in rows} == {for_whom.message_id}
        (event,) = await running.events(events_pb2.UsageRecorded)
        assert len(event["entries"]) == 2
        # What comes after all is too late: the row stands, and is counted once.
        await ledger.close_call(call, metered(INPUT=900, OUTPUT=9))
        assert len(await running.rows("select from usage_entry")) == 2
        open_calls = await running.rows("select call_id from usage_call where status = 'open'")
        assert [row["call_id"] for row in open_calls] == [alive.call_id]


class TestKill:
    """A process of its own, killed while calls of it stand at every point that there is."""

    @pytest.fixture
    async def claude(self) -> AsyncIterator[FakeAnthropic]:
        server = await FakeAnthropic().start()
        yield server
        await server.stop()

    async def test_kill_at_every_point_of_a_call(
        self,
        running: Running,
        ledger: Ledger,
        claude: FakeAnthropic,
        tenant_id: UUID,
        other_tenant_id: UUID,
        tmp_path: Path,
        as_background: Callable[..., Any],
    ) -> None:
        for each in (tenant_id, other_tenant_id):
            new = NewBudget("tenant", None, "day", 10**15, hard=True)
            await create_budget(running.db, running.rt.clock, each, new)
        async with killable(running, claude, tmp_path) as (stub, process, wire):
            before_text = Answer(hold_after_events=1)
            mid_stream, not_settled, not_replied = (Answer(hold_after_events=4) for _ in range(3))
            asked: dict[str, tuple[UUID, asyncio.Task[Said]]] = {}

            async def begin(point: str, of: UUID = tenant_id) -> None:
                before, message_id = len(claude.requests), uuid4()
                with as_background(of, Attribution("turn", message_id=message_id)):
                    task = asyncio.create_task(ask(stub, asking("Ports?", passage(ROUTER)), 60))
                asked[point] = message_id, task
                if point != "not_reserved":
                    await eventually(lambda: _is(len(claude.requests) > before), timeout_s=30)

            await begin("replied")
            await asked["replied"][1]
            for point, answer in {
                "before_text": before_text,
                "mid_stream": mid_stream,
                "not_replied": not_replied,
            }.items():
                claude.script(answer)
                await begin(point)
            claude.script(not_settled)
            await begin("not_settled", other_tenant_id)
            async with running.db.tenant(other_tenant_id) as conn:
                # Who holds the tenant's lock keeps its calls from being reserved and settled.
                await conn.execute(
                    "select pg_advisory_xact_lock(72617003, hashtext(%s))", [str(other_tenant_id)]
                )
                await begin("not_reserved", other_tenant_id)
                not_settled.held.set()
                await eventually(lambda: self.waiting(running, 2))
                wire.is_deaf = True
                not_replied.held.set()
                await eventually(lambda: self.settled(running, asked["not_replied"][0]))
                process.kill()
                await process.wait()
                await self.end_waiting(running)
            for point in asked.keys() - {"replied"}:
                with pytest.raises(Unavailable):
                    await asked[point][1]
        points = {message_id: point for point, (message_id, _) in asked.items()}
        await self.check_orphans(running, ledger, points)
        await self.check_budgets(running)

    async def check_orphans(
        self, running: Running, ledger: Ledger, points: dict[UUID, str]
    ) -> None:
        """What was settled stands; the rest is unconfirmed at its reservation once it expires."""
        orphans = {"before_text", "mid_stream", "not_settled"}
        calls = await running.rows("select * from usage_call")
        statuses = {points[call["message_id"]]: call["status"] for call in calls}
        whole = dict.fromkeys(("replied", "not_replied"), "settled")
        assert statuses == dict.fromkeys(orphans, "open") | whole
        assert await sweep_all(running.db, ledger) == 0
        for call in calls:
            async with running.db.tenant(call["tenant_id"]) as conn:
                await conn.execute("update usage_call set expire_time = now() - interval '1 s'")
        assert await sweep_all(running.db, ledger) == len(orphans)
        assert await sweep_all(running.db, ledger) == 0
        for call in calls:
            entries = await running.rows(
                "select * from usage_entry where call_id = %s", call["call_id"]
            )
            is_orphan = points[call["message_id"]] in orphans
            status = "unconfirmed" if is_orphan else "settled"
            assert {entry["status"] for entry in entries} == {status}
            if is_orphan:
                amounts = [entry["amount_nanos"] for entry in entries]
                assert sum(amounts) == call["reserved_nanos"] > 0
        assert len(await running.events(events_pb2.UsageRecorded)) == len(calls)

    async def check_budgets(self, running: Running) -> None:
        windows = await running.rows("select * from budget_window")
        spent = await running.rows(
            "select tenant_id, sum(amount_nanos)::bigint as sum from usage_entry group by 1"
        )
        assert {(w["tenant_id"], w["spent_nanos"], w["reserved_nanos"]) for w in windows} == {
            (row["tenant_id"], row["sum"], 0) for row in spent
        }

    async def end_waiting(self, running: Running) -> None:
        """What the dead process had sent and PostgreSQL had not begun is as if never sent."""
        await running.rows(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"
            " and classid = 72617003 and not granted"
            " and database = (select oid from pg_database where datname = current_database())"
        )
        await eventually(lambda: self.waiting(running, 0))

    async def waiting(self, running: Running, calls: int) -> bool:
        rows = await running.rows(
            "select from pg_locks where locktype = 'advisory' and classid = 72617003"
            " and not granted and database = (select oid from pg_database"
            "  where datname = current_database())"
        )
        return len(rows) == calls

    async def settled(self, running: Running, message_id: UUID) -> bool:
        rows = await running.rows(
            "select from usage_call where message_id = %s and status = 'settled'", message_id
        )
        return bool(rows)


async def _is(value: bool) -> bool:
    return value


class Wire:
    """Passes bytes on to PostgreSQL, and while `is_deaf` none of what comes back."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self.is_deaf = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, onward = await asyncio.open_connection(*self._target)
        await asyncio.gather(
            self._pass(reader, onward, lambda: False),
            self._pass(back, writer, lambda: self.is_deaf),
        )

    async def _pass(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        is_deaf: Callable[[], bool],
    ) -> None:
        try:
            while data := await source.read(65_536):
                if not is_deaf():
                    target.write(data)
                    await target.drain()
        except ConnectionError:
            pass
        target.close()


@asynccontextmanager
async def killable(
    running: Running, claude: FakeAnthropic, folder: Path
) -> AsyncIterator[tuple[Any, Process, Wire]]:
    """llm-gateway as a process on the database of `running`, and a stub of it."""
    ports = folder / "ports.json"
    settings = running.rt.settings
    url = urlsplit(settings.postgres_url.get_secret_value())
    wire = Wire(url.hostname or "", url.port or 5432)
    server = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
    at = f"{url.netloc.rpartition('@')[0]}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    environment = {
        "FLEETDESK_POSTGRES_URL": url._replace(netloc=at).geturl(),
        "FLEETDESK_NATS_URL": settings.nats_url,
        "FLEETDESK_NATS_NKEY_FILE": str(settings.nats_nkey_file),
        "FLEETDESK_KEYS_DIR": str(running.keys_dir),
        "FLEETDESK_PORT_FILE": str(ports),
        "FLEETDESK_EMBED_WORKERS": "0",
        "FLEETDESK_ANTHROPIC_API_KEY": "sk-test",
        "FLEETDESK_ANTHROPIC_BASE_URL": claude.url,
        "FLEETDESK_ANTHROPIC_FIRST_TOKEN_TIMEOUT_S": "60",
        "FLEETDESK_ANSWER_MODEL": HAIKU,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "llm_gateway", env={**os.environ, **environment}
    )
    try:
        address = await eventually(lambda: _address(ports, process), timeout_s=60)
        named = settings.model_copy(update={"llm_gateway_address": address})
        clients = RpcClients(named, KeyRing.load(running.keys_dir, "conversation"), Clock())
        yield LlmGatewayServiceStub(clients.channel("llm-gateway")), process, wire
        await clients.close()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        server.close()
        await server.wait_closed()


async def _address(ports: Path, process: Process) -> str:
    assert process.returncode is None, "it did not start"
    return address_in(ports)


def address_in(ports: Path) -> str:
    """The address in a service's port file; "" while there is none."""
    return f"127.0.0.1:{json.loads(ports.read_text())['grpc']}" if ports.exists() else ""
