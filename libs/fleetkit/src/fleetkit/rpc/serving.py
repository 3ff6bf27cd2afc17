"""What happens around one served RPC, outermost first.

One log line and one histogram sample; errors become statuses; caller, identity and access are
verified and bound to `fleetkit.context`; the deadline is taken over.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import grpc

from fleetkit import context
from fleetkit.context import CallContext
from fleetkit.errors import DeadlineExceeded, FleetError, InvalidArgument, Unauthenticated
from fleetkit.logging import get_logger
from fleetkit.rpc import metadata as md
from fleetkit.rpc.access import Access
from fleetkit.rpc.identity import VerifiedTokens
from fleetkit.rpc.keys import KeyRing
from fleetkit.rpc.status import to_status
from fleetkit.telemetry import Tracer, parse_traceparent, rpc_seconds

_Metadata = dict[str, str | bytes]

# A caller's deadline began when it sent the call: it gives up a moment before ours is over.
_GIVEN_UP_S = 0.1


@dataclass(frozen=True, slots=True)
class Method:
    """A served method: its path ("/package.Service/Method") and who may call it."""

    path: str
    access: Access


@dataclass(slots=True)
class _Outcome:
    code: str = "OK"
    reason: str | None = None


class Serving:
    """The rules of one server, applied around each of its RPCs."""

    def __init__(
        self, service: str, keyring: KeyRing, tracer: Tracer, max_deadline_s: float
    ) -> None:
        self._service = service
        self._tokens = VerifiedTokens(keyring)
        self._tracer = tracer
        self._max_deadline_s = max_deadline_s

    @asynccontextmanager
    async def around(self, method: Method, call: grpc.aio.ServicerContext) -> AsyncIterator[None]:
        """Runs a handler inside the block; aborts the RPC when it, or a check, raises."""
        started = time.monotonic()
        metadata: _Metadata = dict(call.invocation_metadata() or ())
        parent = parse_traceparent(_text(metadata, md.TRACEPARENT))
        outcome = _Outcome()
        with self._tracer.span(method.path, parent, "server") as span:
            # The task and its context belong to this RPC alone: nothing needs to be reset.
            context.bind(CallContext(span=span))
            try:
                async with _errors_as_status(call, outcome):
                    limit_s = self._bind_deadline(call, metadata, started)
                    self._bind_caller(method, metadata)
                    async with _time_limit(limit_s):
                        yield
            finally:
                self._report(method, outcome, time.monotonic() - started)

    def _bind_deadline(
        self, call: grpc.aio.ServicerContext, metadata: _Metadata, started: float
    ) -> float:
        remaining = call.time_remaining()
        if remaining is None:
            raise InvalidArgument(
                "the call has no deadline: set a timeout", reason="DEADLINE_REQUIRED"
            )
        exact_ms = _text(metadata, md.TIMEOUT_MS) or ""
        if exact_ms.isdecimal() and len(exact_ms) < 12:
            remaining = min(remaining, int(exact_ms) / 1000)
        limit_s = min(remaining, self._max_deadline_s)
        context.bind(replace(context.current(), deadline=started + limit_s))
        return limit_s

    def _bind_caller(self, method: Method, metadata: _Metadata) -> None:
        token = _text(metadata, md.CALLER)
        if token is None:
            raise Unauthenticated("fd-caller is missing", field=md.CALLER, reason="CALLER_REQUIRED")
        caller = self._tokens.caller(token)
        identity_token = _text(metadata, md.IDENTITY)
        identity = self._tokens.identity(identity_token) if identity_token else None
        bound = replace(
            context.current(),
            caller=caller.service,
            tenant_id=identity.tenant_id if identity else caller.tenant_id,
            identity=identity,
            identity_token=identity_token,
        )
        context.bind(bound)
        method.access.check(caller, identity)
        attribution = md.decode_attribution(metadata.get(md.ATTRIBUTION))
        context.bind(replace(bound, attribution=attribution))

    def _report(self, method: Method, outcome: _Outcome, seconds: float) -> None:
        rpc_seconds().labels(self._service, method.path, outcome.code).observe(seconds)
        get_logger().info(
            "rpc_served",
            method=method.path,
            code=outcome.code,
            reason=outcome.reason,
            duration_ms=round(seconds * 1000, 2),
        )


@asynccontextmanager
async def _errors_as_status(
    call: grpc.aio.ServicerContext, outcome: _Outcome
) -> AsyncIterator[None]:
    try:
        yield
    except FleetError as error:
        await _abort(call, outcome, error)
    except grpc.aio.AbortError:
        outcome.code = grpc.StatusCode.UNKNOWN.name
        raise
    except asyncio.CancelledError:
        remaining_s = context.remaining_s()
        late = remaining_s is not None and remaining_s < _GIVEN_UP_S
        outcome.code = (
            grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
        ).name
        raise
    except Exception as error:  # noqa: BLE001 - the one place where the unforeseen is caught
        get_logger().error("rpc_failed_unexpectedly", exc_info=error)
        trace_id = context.current().trace_id
        unexpected = FleetError(
            f"something went wrong; trace {trace_id}", details={"trace_id": trace_id}
        )
        await _abort(call, outcome, unexpected)


@asynccontextmanager
async def _time_limit(limit_s: float) -> AsyncIterator[None]:
    """Ends the handler at the server's own limit where the client allowed more time."""
    scope = asyncio.timeout(limit_s)
    try:
        async with scope:
            yield
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise DeadlineExceeded("the call took longer than its deadline") from error


async def _abort(call: grpc.aio.ServicerContext, outcome: _Outcome, error: FleetError) -> None:
    status = to_status(error)
    outcome.code = status.code.name
    outcome.reason = error.reason
    await call.abort(status.code, status.summary, trailing_metadata=status.trailing)


def _text(metadata: _Metadata, key: str) -> str | None:
    value = metadata.get(key)
    return value if isinstance(value, str) else None
