"""Traces and metrics.

Every piece of work has a W3C trace id that travels as `traceparent`, whether or not traces are
exported. OpenTelemetry is imported only where `otlp_endpoint` is set: it costs start-up time.
Metrics live in prometheus_client's default registry and never carry a tenant.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal, Protocol

from prometheus_client import Counter, Gauge, Histogram

from fleetkit.config import FleetSettings

_TRACEPARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")
_RPC_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)

SpanKind = Literal["server", "client", "internal"]


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


class Tracer(Protocol):
    """Opens spans; `IdTracer` only makes ids, `OtelTracer` also exports them."""

    def span(
        self, name: str, kind: SpanKind, parent: Span | None
    ) -> "contextmanager_of_span":  # noqa: D102
        ...
