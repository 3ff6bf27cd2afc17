"""The cost ledger: each unit once, also when a process dies between the call and its settling."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
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
from harness.answers import ROUTER, ask, asking, passage
from harness.services import Running
from harness.waiting import eventually
from llm_gateway import pricing
from llm_gateway.entries import Meter
from llm_gateway.ledger import Ledger
from llm_gateway.pricing import Unit
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
    @pytest.fixture
    async def claude(self) -> AsyncIterator[FakeAnthropic]:
        server = await FakeAnthropic().start()
        yield server
        await server.stop()

    async def test_kill_between_the_call_and_its_settling(
        self,
        running: Running,
        ledger: Ledger,
        claude: FakeAnthropic,
        tenant_id: UUID,
        keys_dir: Path,
        tmp_path: Path,
        as_background: Callable[..., Any],
    ) -> None:
        """A process of its own, killed while the provider works for it."""
        claude.script(Answer(first_token_after_s=60))
        ports = tmp_path / "ports.json"
        settings = running.rt.settings
        environment = {
            "FLEETDESK_POSTGRES_URL": settings.postgres_url.get_secret_value(),
            "FLEETDESK_NATS_URL": settings.nats_url,
            "FLEETDESK_NATS_NKEY_FILE": str(settings.nats_nkey_file),
            "FLEETDESK_KEYS_DIR": str(keys_dir),
            "FLEETDESK_PORT_FILE": str(ports),
            "FLEETDESK_EMBED_WORKERS": "0",
            "FLEETDESK_ANTHROPIC_API_KEY": "sk-test",
            "FLEETDESK_ANTHROPIC_BASE_URL": claude.url,
            "FLEETDESK_ANSWER_MODEL": HAIKU,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "llm_gateway", env={**os.environ, **environment}
        )
        try:
            message_id = uuid4()
            with as_background(tenant_id, Attribution("turn", message_id=message_id)):
                await self.ask_and_kill(running, ports, claude, process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        (call,) = await running.rows("select * from usage_call")
        assert (call["status"], call["message_id"]) == ("open", message_id)
        assert await running.rows("select from usage_entry") == []
        async with running.db.tenant(tenant_id) as conn:
            await conn.execute("update usage_call set expire_time = now() - interval '1 s'")
        assert await sweep_all(running.db, ledger) == 1
        rows = await running.rows("select * from usage_entry")
        assert {row["status"] for row in rows} == {"unconfirmed"}
        assert {row["message_id"] for row in rows} == {message_id}
        assert sum(row["amount_nanos"] for row in rows) == call["reserved_nanos"] > 0

    async def ask_and_kill(
        self, running: Running, ports: Path, claude: FakeAnthropic, process: Process
    ) -> None:
        """Asks the process, and kills it when the provider has the question."""

        async def address() -> str:
            return address_in(ports)

        settings = running.rt.settings.model_copy(
            update={"llm_gateway_address": await eventually(address, timeout_s=60)}
        )
        clients = RpcClients(settings, KeyRing.load(running.keys_dir, "conversation"), Clock())
        stub = LlmGatewayServiceStub(clients.channel("llm-gateway"))
        asked = asyncio.create_task(ask(stub, asking("Ports?", passage(ROUTER)), 60))

        async def is_asked() -> bool:
            assert not asked.done(), asked
            return bool(claude.requests)

        await eventually(is_asked, timeout_s=60)
        process.kill()
        await process.wait()
        with pytest.raises(Unavailable):
            await asked
        await clients.close()


def address_in(ports: Path) -> str:
    """The address in a service's port file; "" while there is none."""
    return f"127.0.0.1:{json.loads(ports.read_text())['grpc']}" if ports.exists() else ""
