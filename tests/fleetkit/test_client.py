"""What a call to another service carries, how long it may take, how it fails."""

import asyncio
import time
from typing import Any
from uuid import UUID

import pytest
from fleetkit import context, errors
from fleetkit.clock import Clock
from fleetkit.context import CallContext, background, deadline_in
from fleetkit.errors import FleetError
from fleetkit.rpc.client import RpcClients
from fleetkit.telemetry import Span
from harness.echo import EchoService, settings_of

TENANT = UUID("01900000-0000-7000-8000-000000000001")


@pytest.fixture
def remaining(rpc: EchoService) -> list[float]:
    """What the handler of Say saw as its remaining time, per call."""
    seen: list[float] = []

    async def say(request: Any, call: Any) -> Any:
        seen.append(context.remaining_s() or -1)
        return request

    rpc.echo.handlers["Say"] = say
    return seen


class TestTimeout:
    async def test_a_call_gets_what_remains_less_a_margin(
        self, rpc: EchoService, remaining: list[float]
    ) -> None:
        with background(TENANT), deadline_in(5):
            await rpc.stub("conversation").Say(rpc.text())
        assert 4 < remaining[0] < 4.96

    async def test_an_explicit_timeout_may_be_shorter(
        self, rpc: EchoService, remaining: list[float]
    ) -> None:
        with background(TENANT), deadline_in(5):
            await rpc.stub("conversation").Say(rpc.text(), timeout=2)
        assert 1 < remaining[0] <= 2

    async def test_an_explicit_timeout_is_never_longer(
        self, rpc: EchoService, remaining: list[float]
    ) -> None:
        with background(TENANT), deadline_in(5):
            await rpc.stub("conversation").Say(rpc.text(), timeout=60)
        assert 4 < remaining[0] < 4.96

    async def test_without_either_there_is_a_default(
        self, rpc: EchoService, remaining: list[float]
    ) -> None:
        with background(TENANT):
            await rpc.stub("conversation").Say(rpc.text())
        assert 29 < remaining[0] <= 30

    async def test_no_time_left_is_told_without_a_call(
        self, rpc: EchoService, remaining: list[float]
    ) -> None:
        stub = rpc.stub("conversation")
        with background(TENANT), deadline_in(0.04):
            with pytest.raises(errors.DeadlineExceeded):
                await stub.Say(rpc.text())
            with pytest.raises(errors.DeadlineExceeded):
                stub.Count(rpc.text())
        assert remaining == []

    async def test_each_hop_has_less_than_the_one_before(self, rpc: EchoService) -> None:
        inner = rpc.stub("conversation")
        seen: list[float] = []

        async def say(request: Any, call: Any) -> Any:
            seen.append(context.remaining_s() or -1)
            return request if len(seen) == 3 else await inner.Say(request)

        rpc.echo.handlers["Say"] = say
        with background(TENANT):
            await inner.Say(rpc.text(), timeout=5)
        assert seen[1] <= seen[0] - 0.05
        assert seen[2] <= seen[1] - 0.05


class TestMetadata:
    async def test_work_outside_any_call_starts_a_trace(self, rpc: EchoService) -> None:
        seen: list[CallContext] = []

        async def say(request: Any, call: Any) -> Any:
            seen.append(context.current())
            return request

        rpc.echo.handlers["SayInPublic"] = say
        stub = rpc.stub("gateway")
        await stub.SayInPublic(rpc.text())
        await stub.SayInPublic(rpc.text())
        assert seen[0].trace_id
        assert seen[0].trace_id != seen[1].trace_id

    async def test_the_sampling_decision_travels(self, rpc: EchoService) -> None:
        seen: list[CallContext] = []

        async def say(request: Any, call: Any) -> Any:
            seen.append(context.current())
            return request

        rpc.echo.handlers["Say"] = say
        span = Span("a" * 32, "b" * 16, sampled=True)
        with context.bound(CallContext(tenant_id=TENANT, span=span)):
            await rpc.stub("conversation").Say(rpc.text())
        assert seen[0].span is not None
        assert seen[0].span.sampled

    async def test_an_explicit_metadata_entry_is_kept(self, rpc: EchoService) -> None:
        seen: list[Any] = []

        async def say(request: Any, call: Any) -> Any:
            seen.append(dict(call.invocation_metadata()))
            return request

        rpc.echo.handlers["Say"] = say
        with background(TENANT):
            await rpc.stub("conversation").Say(rpc.text(), metadata=(("x-test", "1"),))
        assert seen[0]["x-test"] == "1"
        assert "fd-identity" not in seen[0]
        assert "fd-attribution-bin" not in seen[0]


class TestChannel:
    async def test_is_opened_once(self, rpc: EchoService) -> None:
        settings = settings_of("conversation", rpc.keys_dir, retrieval_address=rpc.address)
        clients = RpcClients(settings, rpc.keyring("conversation"), Clock())
        assert clients.channel("retrieval") is clients.channel("retrieval")
        await clients.close()

    def test_an_address_that_is_not_configured_is_named(self, rpc: EchoService) -> None:
        settings = settings_of("conversation", rpc.keys_dir)
        clients = RpcClients(settings, rpc.keyring("conversation"), Clock())
        with pytest.raises(ValueError, match="FLEETDESK_LLM_GATEWAY_ADDRESS is not set"):
            clients.channel("llm-gateway")
        with pytest.raises(ValueError, match="FLEETDESK_NOWHERE_ADDRESS"):
            clients.channel("nowhere")


class TestFailure:
    async def test_a_service_that_is_not_there_is_unavailable(
        self, rpc: EchoService, unused_tcp_port: int
    ) -> None:
        stub = rpc.stub("conversation", port=unused_tcp_port)
        with background(TENANT):
            with pytest.raises(errors.Unavailable) as single:
                await stub.Say(rpc.text(), timeout=5)
            with pytest.raises(errors.Unavailable):
                await anext(stub.Count(rpc.text(), timeout=5))
        assert single.value.message == "retrieval does not answer"
        assert single.value.details["service"] == "retrieval"

    async def test_a_service_that_comes_back_is_found_again_soon(self, rpc: EchoService) -> None:
        stub = rpc.stub("conversation")
        with background(TENANT):
            await stub.Say(rpc.text())
            port = rpc.port
            await rpc.server.stop(None)
            with pytest.raises(errors.Unavailable):
                await stub.Say(rpc.text(), timeout=1)
            await rpc.start(port)
            started = time.monotonic()
            async with asyncio.timeout(30):
                while True:
                    try:
                        await stub.Say(rpc.text(), timeout=1)
                        break
                    except FleetError:
                        await asyncio.sleep(0.05)
        # gRPC's own back-off would have been a second at least, and up to two minutes.
        assert time.monotonic() - started < 15
