"""Traces and metrics.

Every piece of work has a W3C trace id that travels as `traceparent`, whether or not traces are
exported. OpenTelemetry is imported only where `otlp_endpoint` is set: it costs start-up time.
Metrics live in prometheus_client's default registry and never carry a tenant.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from opentelemetry import context as otel_context
    from opentelemetry import trace as otel
    from opentelemetry.sdk.trace import TracerProvider

_TRACEPARENT = re.compile(
    r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
)
_RPC_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_EXPORT_TIMEOUT_S = 3

AttributeValue = str | int | float | bool
SpanKind = Literal["server", "client", "internal", "consumer", "producer"]


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a trace: 32 and 16 lower-case hex digits."""

    trace_id: str
    span_id: str
    sampled: bool = False

    @property
    def traceparent(self) -> str:
        """The W3C header value that makes the callee's spans children of this one."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse_traceparent(value: str | None) -> Span | None:
    """The span a `traceparent` names; None when missing or malformed (a new trace then starts)."""
    match = _TRACEPARENT.fullmatch(value) if value else None
    if match is None or int(match["trace"], 16) == 0 or int(match["span"], 16) == 0:
        return None
    return Span(match["trace"], match["span"], bool(int(match["flags"], 16) & 1))


def new_span(parent: Span | None = None) -> Span:
    """A new span under `parent`, or the first of a new trace."""
    if parent is None:
        return Span(secrets.token_hex(16), secrets.token_hex(8))
    return Span(parent.trace_id, secrets.token_hex(8), parent.sampled)


class Tracer:
    """Opens spans around work; exports them only where an OTLP endpoint is configured."""

    def __init__(self, service: str, otlp_endpoint: str | None) -> None:
        self._provider = _otel_provider(service, otlp_endpoint) if otlp_endpoint else None

    @contextmanager
    def span(self, name: str, parent: Span | None, kind: SpanKind = "internal") -> Iterator[Span]:
        """A span around the block; `name` is static (a method or subject), never text."""
        if self._provider is None:
            yield new_span(parent)
            return
        with _otel_span(self._provider.get_tracer("fleetkit"), name, parent, kind) as span:
            yield span

    @contextmanager
    def noted(
        self,
        name: str,
        parent: Span | None,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue],
    ) -> Iterator[None]:
        """A span around the block with `attributes` as they are at its end; nothing below it.

        `error.type` among them makes it an error. Values are names and counts, never text.
        """
        if self._provider is None:
            yield
            return
        with _noted_span(self._provider.get_tracer("fleetkit"), name, parent, kind, attributes):
            yield

    def close(self) -> None:
        """Sends what is left; its spans are not exported any more."""
        if self._provider is not None:
            self._provider.shutdown()


@cache
def tracer(service: str, otlp_endpoint: str | None) -> Tracer:
    """The process's tracer for `service`, made once."""
    return Tracer(service, otlp_endpoint)


@cache
def rpc_seconds() -> Histogram:
    """Duration of served RPCs by service, method and gRPC code."""
    return Histogram(
        "fleetdesk_rpc_seconds",
        "Duration of served RPCs in seconds.",
        ("service", "method", "code"),
        buckets=_RPC_BUCKETS_S,
    )


@cache
def counter(name: str, documentation: str, labels: tuple[str, ...] = ()) -> Counter:
    """The process's counter `name`, registered on first use; labels never name a tenant."""
    return Counter(name, documentation, labels)


@cache
def gauge(name: str, documentation: str, labels: tuple[str, ...] = ()) -> Gauge:
    """The process's gauge `name`, registered on first use; labels never name a tenant."""
    return Gauge(name, documentation, labels)


@cache
def histogram(
    name: str,
    documentation: str,
    labels: tuple[str, ...] = (),
    buckets: tuple[float, ...] = _RPC_BUCKETS_S,
) -> Histogram:
    """The process's histogram `name`, registered on first use; labels never name a tenant."""
    return Histogram(name, documentation, labels, buckets=buckets)


def _otel_provider(service: str, endpoint: str) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(
        endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=_EXPORT_TIMEOUT_S
    )
    # A thread sends them; what is left is sent when the interpreter exits.
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


@contextmanager
def _otel_span(
    otel_tracer: "otel.Tracer", name: str, parent: Span | None, kind: SpanKind
) -> Iterator[Span]:
    from opentelemetry import trace

    # Exceptions are not recorded: their messages may hold text of a visitor.
    with otel_tracer.start_as_current_span(
        name,
        context=_context_of(parent),
        kind=trace.SpanKind[kind.upper()],
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        made = span.get_span_context()
        yield Span(f"{made.trace_id:032x}", f"{made.span_id:016x}", bool(made.trace_flags & 1))


@contextmanager
def _noted_span(
    otel_tracer: "otel.Tracer",
    name: str,
    parent: Span | None,
    kind: SpanKind,
    attributes: Mapping[str, AttributeValue],
) -> Iterator[None]:
    from opentelemetry import trace

    # Not made the current one: the block may be a generator's, which ends in another context.
    span = otel_tracer.start_span(
        name, context=_context_of(parent), kind=trace.SpanKind[kind.upper()]
    )
    try:
        yield
    finally:
        span.set_attributes({**attributes})
        if "error.type" in attributes:
            span.set_status(trace.StatusCode.ERROR)
        span.end()


def _context_of(parent: Span | None) -> "otel_context.Context | None":
    from opentelemetry import trace

    if parent is None:
        return None
    remote = trace.SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(parent.sampled)),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(remote))
