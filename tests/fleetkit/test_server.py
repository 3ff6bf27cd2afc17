"""What the server does around a handler, and what the caller sees of it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import grpc
import pytest
import structlog
from fleetkit import context, errors
from fleetkit.clock import Clock
from fleetkit.context import Attribution, CallContext, attributed, background
from fleetkit.errors import FleetError, InvalidArgument
from fleetkit.rpc.identity import mint_caller
from fleetkit.rpc.server import MAX_MESSAGE_BYTES, RpcServer
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from harness.echo import EchoService, settings_of
from prometheus_client import REGISTRY

TENANT = UUID("01900000-0000-7000-8000-000000000001")
CLASSES = [
    errors.NotFound,
    errors.AlreadyExists,
    errors.InvalidArgument,
    errors.FailedPrecondition,
    errors.PermissionDenied,
    errors.Unauthenticated,
    errors.ResourceExhausted,
    errors.Unavailable,
    errors.DeadlineExceeded,
]


@pytest.fixture(autouse=True)
def in_background() -> Iterator[None]:
    with background(TENANT):
        yield


@pytest.fixture
def log_lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


async def raised(call: Any) -> FleetError:
    with pytest.raises(FleetError) as failure:
        await call
    return failure.value


async def raised_by_stream(stream: Any) -> tuple[list[str], FleetError]:
    """What a stream gave before it failed, and how it failed."""
    seen: list[str] = []
    with pytest.raises(FleetError) as failure:
        async for response in stream:
            seen.append(response.text)  # noqa: PERF401 - it does not get to the end
    return seen, failure.value


async def accepted(stream: Any) -> bool:
    """Whether the server takes the call; False when it says that it is not there."""
    try:
        await anext(stream)
    except errors.Unavailable:
        return False
    return True


def bare_metadata(rpc: EchoService) -> tuple[tuple[str, str], ...]:
    return (("fd-caller", mint_caller(rpc.keyring("conversation"), "retrieval", TENANT)),)


class TestErrors:
    @pytest.mark.parametrize("error_class", CLASSES)
    async def test_each_class_crosses_with_all_it_says(
        self, rpc: EchoService, error_class: type[FleetError]
    ) -> None:
        sent = error_class(
            "Übermäßig: say “what” is right",
            field="agent.name",
            reason="TOO_MUCH",
            retry_after_s=1.25,
            details={"limit": "3"},
        )

        async def say(request: Any, call: Any) -> Any:
            raise sent

        rpc.echo.handlers["Say"] = say
        got = await raised(rpc.stub("conversation").Say(rpc.text()))
        assert type(got) is error_class
        assert vars(got) == vars(sent)

    @pytest.mark.parametrize("error_class", CLASSES)
    async def test_what_is_not_said_stays_unsaid(
        self, rpc: EchoService, error_class: type[FleetError]
    ) -> None:
        async def say(request: Any, call: Any) -> Any:
            raise error_class("no")

        rpc.echo.handlers["Say"] = say
        got = await raised(rpc.stub("conversation").Say(rpc.text()))
        assert vars(got) == vars(error_class("no"))

    @pytest.mark.parametrize("error_class", CLASSES)
    async def test_each_class_ends_a_stream_half_way(
        self, rpc: EchoService, error_class: type[FleetError]
    ) -> None:
        async def count(request: Any, call: Any) -> AsyncIterator[Any]:
            yield rpc.text("0")
            yield rpc.text("1")
            raise error_class("no more", field="text", details={"at": "2"})

        rpc.echo.handlers["Count"] = count
        seen, got = await raised_by_stream(rpc.stub("conversation").Count(rpc.text()))
        assert seen == ["0", "1"]
        assert type(got) is error_class
        assert (got.message, got.field, got.details) == ("no more", "text", {"at": "2"})

    async def test_a_long_message_is_cut_rather_than_lost(self, rpc: EchoService) -> None:
        async def say(request: Any, call: Any) -> Any:
            raise InvalidArgument("é" * 5000, field="text")

        rpc.echo.handlers["Say"] = say
        got = await raised(rpc.stub("conversation").Say(rpc.text()))
        assert type(got) is InvalidArgument
        assert got.message == "é" * 1000

    async def test_plain_grpc_sees_standard_codes_and_details(self, rpc: EchoService) -> None:
        async def say(request: Any, call: Any) -> Any:
            raise errors.NotFound("no such agent")

        rpc.echo.handlers["Say"] = say
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await rpc.bare_stub().Say(rpc.text(), timeout=5, metadata=bare_metadata(rpc))
        assert failure.value.code() is grpc.StatusCode.NOT_FOUND
        assert failure.value.details() == "no such agent"

    async def test_the_unforeseen_is_internal_with_a_trace_and_says_nothing_else(
        self, rpc: EchoService, log_lines: list[Any]
    ) -> None:
        async def say(request: Any, call: Any) -> Any:
            raise ValueError("what the visitor wrote")

        rpc.echo.handlers["Say"] = say
        got = await raised(rpc.stub("conversation").Say(rpc.text()))
        assert type(got) is FleetError
        assert got.reason == "INTERNAL"
        assert got.details == {"trace_id": context.current().trace_id}
        assert "visitor" not in str(vars(got))
        unexpected = [line for line in log_lines if line["event"] == "rpc_failed_unexpectedly"]
        assert len(unexpected) == 1
        assert isinstance(unexpected[0]["exc_info"], ValueError)

    async def test_the_unforeseen_in_a_stream_is_internal_too(self, rpc: EchoService) -> None:
        async def count(request: Any, call: Any) -> AsyncIterator[Any]:
            yield rpc.text("0")
            raise KeyError("what the visitor wrote")

        rpc.echo.handlers["Count"] = count
        seen, got = await raised_by_stream(rpc.stub("conversation").Count(rpc.text()))
        assert seen == ["0"]
        assert (type(got), got.reason) == (FleetError, "INTERNAL")

    async def test_a_failure_of_a_callee_passes_through_as_internal(self, rpc: EchoService) -> None:
        inner = rpc.stub("conversation")

        async def say(request: Any, call: Any) -> Any:
            if request.text == "inner":
                raise ValueError("x")
            return await inner.Say(rpc.text("inner"))

        rpc.echo.handlers["Say"] = say
        # The server calls itself as "conversation", with the tenant of the outer call.
        got = await raised(rpc.stub("conversation").Say(rpc.text("outer")))
        assert (type(got), got.reason) == (FleetError, "INTERNAL")
        assert got.details["trace_id"] == context.current().trace_id

    async def test_an_unknown_method_is_a_plain_failure(self, rpc: EchoService) -> None:
        stub = rpc.stub("conversation", path_prefix="/nowhere")
        got = await raised(stub.Say(rpc.text()))
        assert type(got) is FleetError
        assert got.details["code"] == "UNIMPLEMENTED"

    async def test_a_message_over_the_limit_is_refused(self, rpc: EchoService) -> None:
        got = await raised(rpc.stub("conversation").Say(rpc.text("x" * MAX_MESSAGE_BYTES)))
        assert type(got) is errors.ResourceExhausted


class TestContext:
    @pytest.fixture
    def seen(self, rpc: EchoService) -> list[CallContext]:
        seen: list[CallContext] = []

        async def say(request: Any, call: Any) -> Any:
            seen.append(context.current())
            return request

        async def count(request: Any, call: Any) -> AsyncIterator[Any]:
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(context.current())
                yield request

        rpc.echo.handlers |= {"Say": say, "Count": count}
        return seen

    async def test_a_unary_handler_knows_caller_tenant_and_attribution(
        self, rpc: EchoService, seen: list[CallContext]
    ) -> None:
        attribution = Attribution("turn", message_id=TENANT, visitor_id=TENANT)
        with attributed(attribution):
            await rpc.stub("conversation").Say(rpc.text())
        assert seen[0].caller == "conversation"
        assert seen[0].tenant_id == TENANT
        assert seen[0].attribution == attribution

    async def test_a_streaming_handler_knows_them_at_every_step(
        self, rpc: EchoService, seen: list[CallContext]
    ) -> None:
        with attributed(Attribution("turn")):
            async for _ in rpc.stub("conversation").Count(rpc.text()):
                pass
        assert [(c.caller, c.tenant_id, c.attribution.purpose) for c in seen] == [
            ("conversation", TENANT, "turn")
        ] * 3

    async def test_the_trace_goes_on_with_a_span_of_its_own(
        self, rpc: EchoService, seen: list[CallContext]
    ) -> None:
        await rpc.stub("conversation").Say(rpc.text())
        mine, theirs = context.current().span, seen[0].span
        assert mine is not None
        assert theirs is not None
        assert theirs.trace_id == mine.trace_id
        assert theirs.span_id != mine.span_id

    async def test_a_call_without_a_trace_starts_one(
        self, rpc: EchoService, seen: list[CallContext]
    ) -> None:
        await rpc.bare_stub().Say(rpc.text(), timeout=5, metadata=bare_metadata(rpc))
        assert len(seen[0].trace_id) == 32

    async def test_concurrent_calls_do_not_see_each_others(
        self, rpc: EchoService, seen: list[CallContext]
    ) -> None:
        stub = rpc.stub("conversation")

        async def call(number: int) -> None:
            tenant = UUID(int=number)
            with background(tenant, Attribution(str(number))):
                await stub.Say(rpc.text(str(number)))

        await asyncio.gather(*(call(number) for number in range(1, 21)))
        pairs = {(c.tenant_id, c.attribution.purpose) for c in seen}
        assert pairs == {(UUID(int=number), str(number)) for number in range(1, 21)}

    async def test_malformed_attribution_is_refused(self, rpc: EchoService) -> None:
        for value in (b"\xff", b"[]", b'{"message_id":"x"}', b'{"message_id":1}'):
            metadata = (*bare_metadata(rpc), ("fd-attribution-bin", value))
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await rpc.bare_stub().Say(rpc.text(), timeout=5, metadata=metadata)
            assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT


class TestDeadline:
    async def test_a_call_without_one_is_refused(self, rpc: EchoService) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await rpc.bare_stub().Say(rpc.text(), metadata=bare_metadata(rpc))
        assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "deadline" in (failure.value.details() or "")

    async def test_the_handler_knows_what_remains(self, rpc: EchoService) -> None:
        remaining: list[float | None] = []

        async def say(request: Any, call: Any) -> Any:
            remaining.append(context.remaining_s())
            return request

        rpc.echo.handlers["Say"] = say
        await rpc.stub("conversation").Say(rpc.text(), timeout=3)
        assert remaining[0] is not None
        assert 2 < remaining[0] <= 3

    async def test_a_late_handler_is_cancelled_and_its_caller_told(
        self, rpc: EchoService, log_lines: list[Any]
    ) -> None:
        ended = asyncio.Event()

        async def say(request: Any, call: Any) -> Any:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        rpc.echo.handlers["Say"] = say
        got = await raised(rpc.stub("conversation").Say(rpc.text(), timeout=0.2))
        assert type(got) is errors.DeadlineExceeded
        async with asyncio.timeout(5):
            await ended.wait()
            while not log_lines:
                await asyncio.sleep(0.01)
        assert log_lines[0]["code"] == "DEADLINE_EXCEEDED"

    async def test_a_stream_ends_at_the_deadline_with_what_came_before(
        self, rpc: EchoService
    ) -> None:
        async def count(request: Any, call: Any) -> AsyncIterator[Any]:
            yield rpc.text("0")
            await asyncio.Event().wait()

        rpc.echo.handlers["Count"] = count
        stream = rpc.stub("conversation").Count(rpc.text(), timeout=0.3)
        seen, got = await raised_by_stream(stream)
        assert seen == ["0"]
        assert type(got) is errors.DeadlineExceeded

    async def test_the_servers_own_limit_holds_where_the_caller_allows_more(
        self, rpc: EchoService
    ) -> None:
        remaining: list[float | None] = []

        async def say(request: Any, call: Any) -> Any:
            remaining.append(context.remaining_s())
            await asyncio.Event().wait()

        rpc.echo.handlers["Say"] = say
        server = RpcServer(rpc.settings, rpc.keyring("retrieval"), Clock(), max_deadline_s=0.2)
        server.add(rpc.protos.echo.add_EchoServiceServicer_to_server, rpc.echo)
        port = await server.start()
        started = time.monotonic()
        got = await raised(rpc.stub("conversation", port=port).Say(rpc.text(), timeout=60))
        assert type(got) is errors.DeadlineExceeded
        assert time.monotonic() - started < 30
        assert remaining[0] is not None
        assert remaining[0] <= 0.2
        await server.stop(None)

    async def test_a_timeout_of_the_handlers_own_is_not_the_deadline(
        self, rpc: EchoService
    ) -> None:
        async def say(request: Any, call: Any) -> Any:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()

        rpc.echo.handlers["Say"] = say
        got = await raised(rpc.stub("conversation").Say(rpc.text()))
        assert (type(got), got.reason) == (FleetError, "INTERNAL")


class TestCancellation:
    @pytest.mark.parametrize("how", ["cancel", "drop"])
    async def test_a_stream_given_up_ends_its_handler(self, rpc: EchoService, how: str) -> None:
        ended = asyncio.Event()

        async def count(request: Any, call: Any) -> AsyncIterator[Any]:
            try:
                for number in range(1_000_000):
                    yield rpc.text(str(number))
                    await asyncio.sleep(0.001)
            finally:
                ended.set()

        rpc.echo.handlers["Count"] = count
        stream = rpc.stub("conversation").Count(rpc.text())
        assert (await anext(stream)).text == "0"
        if how == "cancel":
            stream.cancel()
        else:
            del stream
        async with asyncio.timeout(5):
            await ended.wait()

    async def test_a_cancelled_caller_cancels_the_handler(
        self, rpc: EchoService, log_lines: list[Any]
    ) -> None:
        began, ended = asyncio.Event(), asyncio.Event()

        async def say(request: Any, call: Any) -> Any:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        rpc.echo.handlers["Say"] = say
        call = asyncio.create_task(rpc.stub("conversation").Say(rpc.text(), timeout=30))
        async with asyncio.timeout(5):
            await began.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await ended.wait()
            while not log_lines:
                await asyncio.sleep(0.01)
        assert log_lines[0]["code"] == "CANCELLED"

    async def test_an_error_raised_while_cancelled_does_no_harm(self, rpc: EchoService) -> None:
        began, ended = asyncio.Event(), asyncio.Event()

        async def say(request: Any, call: Any) -> Any:
            began.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                ended.set()
                raise errors.Unavailable("stopped") from error

        rpc.echo.handlers["Say"] = say
        stub = rpc.stub("conversation")
        call = asyncio.create_task(stub.Say(rpc.text(), timeout=30))
        async with asyncio.timeout(5):
            await began.wait()
            call.cancel()
            await ended.wait()
        del rpc.echo.handlers["Say"]
        assert (await stub.Say(rpc.text("still here"))).text == "still here"


class TestShapes:
    async def test_requests_may_stream(self, rpc: EchoService) -> None:
        stub = rpc.stub("conversation")
        gathered = await stub.Gather(iter([rpc.text("a"), rpc.text("b")]))
        assert gathered.text == "ab"
        chat = stub.Chat(iter([rpc.text("a"), rpc.text("b")]))
        assert [response.text async for response in chat] == ["A", "B"]


class TestLog:
    async def test_one_line_per_rpc_with_ids_only(
        self, rpc: EchoService, log_lines: list[Any]
    ) -> None:
        await rpc.stub("conversation").Say(rpc.text("what the visitor wrote"))
        assert len(log_lines) == 1
        line = log_lines[0]
        assert line.pop("duration_ms") >= 0
        assert line == {
            "event": "rpc_served",
            "log_level": "info",
            "method": "/fleetkit_test.v1.EchoService/Say",
            "code": "OK",
            "reason": None,
        }

    async def test_a_refusal_is_one_line_with_its_reason(
        self, rpc: EchoService, log_lines: list[Any]
    ) -> None:
        await raised(rpc.stub("retrieval").Say(rpc.text()))
        assert [(line["code"], line["reason"]) for line in log_lines] == [
            ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
        ]

    async def test_grpc_itself_has_nothing_to_add(
        self, rpc: EchoService, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def say(request: Any, call: Any) -> Any:
            raise ValueError("what the visitor wrote")

        rpc.echo.handlers["Say"] = say
        with caplog.at_level(logging.INFO):
            await raised(rpc.stub("conversation").Say(rpc.text()))
        assert "visitor" not in caplog.text


class TestMetrics:
    def seconds_count(self, code: str) -> float:
        labels = {
            "service": "retrieval",
            "method": "/fleetkit_test.v1.EchoService/Say",
            "code": code,
        }
        return REGISTRY.get_sample_value("fleetdesk_rpc_seconds_count", labels) or 0.0

    async def test_each_rpc_is_counted_by_its_code(self, rpc: EchoService) -> None:
        before = self.seconds_count("OK"), self.seconds_count("PERMISSION_DENIED")
        await rpc.stub("conversation").Say(rpc.text())
        await raised(rpc.stub("retrieval").Say(rpc.text()))
        after = self.seconds_count("OK"), self.seconds_count("PERMISSION_DENIED")
        assert after == (before[0] + 1, before[1] + 1)


class TestHealthAndReflection:
    async def test_anybody_may_ask_for_health(self, rpc: EchoService) -> None:
        stub: Any = health_pb2_grpc.HealthStub(rpc.bare_channel())
        for service in ("", "fleetkit_test.v1.EchoService"):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING

    async def test_reflection_lists_the_service(self, rpc: EchoService) -> None:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(rpc.bare_channel())
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        names: list[str] = []
        async for answer in stub.ServerReflectionInfo(iter([asked]), timeout=5):
            names += [service.name for service in answer.list_services_response.service]
        assert "fleetkit_test.v1.EchoService" in names


class TestStartAndStop:
    async def test_a_taken_port_is_refused(self, rpc: EchoService) -> None:
        settings = settings_of("retrieval", rpc.keys_dir, grpc_bind=rpc.address)
        second = RpcServer(settings, rpc.keyring("retrieval"), Clock())
        with pytest.raises(OSError, match="is the port taken"):
            await second.start()

    async def test_stopping_lets_calls_in_flight_finish_and_refuses_new_ones(
        self, rpc: EchoService
    ) -> None:
        began, go_on = asyncio.Event(), asyncio.Event()

        async def say(request: Any, call: Any) -> Any:
            began.set()
            await go_on.wait()
            return request

        rpc.echo.handlers["Say"] = say
        stub = rpc.stub("conversation")
        in_flight = asyncio.create_task(stub.Say(rpc.text("first"), timeout=30))
        await began.wait()
        stopping = asyncio.create_task(rpc.server.stop(30))
        async with asyncio.timeout(5):
            while await accepted(stub.Count(rpc.text())):
                await asyncio.sleep(0.01)
        assert not in_flight.done()
        go_on.set()
        assert (await in_flight).text == "first"
        await stopping

    async def test_after_the_grace_period_calls_are_cut(self, rpc: EchoService) -> None:
        began, ended = asyncio.Event(), asyncio.Event()

        async def say(request: Any, call: Any) -> Any:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        rpc.echo.handlers["Say"] = say
        in_flight = asyncio.create_task(raised(rpc.stub("conversation").Say(rpc.text())))
        await began.wait()
        await rpc.server.stop(0.1)
        assert type(await in_flight) is errors.Unavailable
        async with asyncio.timeout(5):
            await ended.wait()
