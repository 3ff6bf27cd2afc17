"""Trace ids and metrics."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from fleetkit.telemetry import Span, Tracer, counter, new_span, parse_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class TestTraceparent:
    def test_reads_what_the_standard_says(self) -> None:
        assert parse_traceparent(f"00-{TRACE}-{SPAN}-01") == Span(TRACE, SPAN, sampled=True)
        assert parse_traceparent(f"00-{TRACE}-{SPAN}-00") == Span(TRACE, SPAN)

    def test_writes_what_it_reads(self) -> None:
        for flags in ("00", "01"):
            span = parse_traceparent(f"00-{TRACE}-{SPAN}-{flags}")
            assert span is not None
            assert span.traceparent == f"00-{TRACE}-{SPAN}-{flags}"

    @pytest.mark.parametrize(
        "value",
        [
            None,
            "",
            "x",
            f"00-{TRACE}-{SPAN}",
            f"00-{TRACE.upper()}-{SPAN}-01",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE}-{SPAN}-01\n",
        ],
    )
    def test_anything_else_starts_a_new_trace(self, value: str | None) -> None:
        assert parse_traceparent(value) is None


class TestTracer:
    def test_without_export_only_makes_ids(self) -> None:
        with Tracer("memory", None).span("work", None) as outer:
            assert parse_traceparent(outer.traceparent) == outer
        with Tracer("memory", None).span("work", outer) as inner:
            assert inner.trace_id == outer.trace_id
            assert inner.span_id != outer.span_id

    def test_a_child_keeps_the_sampling_decision(self) -> None:
        assert new_span(Span(TRACE, SPAN, sampled=True)).sampled
        assert not new_span(Span(TRACE, SPAN)).sampled


class Collector:
    """A fake OTLP collector that keeps the spans it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def Export(self, request: Any, call: Any) -> Any:
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

    made = Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield made, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


class TestExport:
    def test_spans_reach_the_collector_in_their_trace_without_messages(
        self, collector: tuple[Collector, str]
    ) -> None:
        made, endpoint = collector
        tracer = Tracer("memory", endpoint)
        parent = Span(TRACE, SPAN, sampled=True)
        with (
            pytest.raises(ValueError, match="text"),
            tracer.span("/memory/GetContext", parent, "server") as span,
        ):
            raise ValueError("text of a visitor")
        assert span.trace_id == TRACE
        assert span.sampled
        assert tracer._provider is not None
        tracer._provider.shutdown()
        (exported,) = made.spans
        assert exported.name == "/memory/GetContext"
        assert exported.trace_id.hex() == TRACE
        assert exported.parent_span_id.hex() == SPAN
        assert exported.span_id.hex() == span.span_id
        assert b"visitor" not in exported.SerializeToString()

    def test_nothing_of_it_is_imported_where_it_is_off(self) -> None:
        code = "import sys, fleetkit.service; sys.exit('opentelemetry' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestCounter:
    def test_is_made_once(self) -> None:
        first = counter("fleetdesk_test_total", "A test's.", ("outcome",))
        assert counter("fleetdesk_test_total", "A test's.", ("outcome",)) is first
