"""Trace ids and metrics."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from fakes.otlp_collector import Collector, collecting
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


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


class TestExport:
    def test_spans_reach_the_collector_in_their_trace_without_messages(
        self, collector: Collector
    ) -> None:
        tracer = Tracer("memory", collector.endpoint)
        parent = Span(TRACE, SPAN, sampled=True)
        with (
            pytest.raises(ValueError, match="text"),
            tracer.span("/memory/GetContext", parent, "server") as span,
        ):
            raise ValueError("text of a visitor")
        assert span.trace_id == TRACE
        assert span.sampled
        tracer.close()
        (exported,) = collector.spans
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
