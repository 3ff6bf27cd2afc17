"""Channels to other services.

A call carries fd-caller, and fd-identity or the tenant, the attribution and the trace of the
work at hand; it gets what remains of the deadline less a margin; its errors are FleetErrors.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import grpc
from grpc.aio import AioRpcError

from fleetkit import context
from fleetkit.clock import Clock
from fleetkit.config import FleetSettings
from fleetkit.errors import DeadlineExceeded
from fleetkit.rpc import metadata as md
from fleetkit.rpc.identity import CallerTokens
from fleetkit.rpc.keys import KeyRing
from fleetkit.rpc.server import MAX_MESSAGE_BYTES
from fleetkit.rpc.status import MAX_METADATA_BYTES, from_rpc_error
from fleetkit.telemetry import new_span

DEADLINE_MARGIN_S = 0.05
DEFAULT_TIMEOUT_S = 30.0
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.lb_policy_name", "round_robin"),
    # A restarted service is found again at once, not after gRPC's default of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Also how long one attempt may take: a busy machine needs more than a moment to answer.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
)

_Metadata = tuple[tuple[str, str | bytes], ...]


class RpcClients:
    """The process's channels, one per callee, opened on first use.

    `RetrievalServiceStub(clients.channel("retrieval")).Search(request, timeout=2.0)`
    """

    def __init__(self, settings: FleetSettings, keyring: KeyRing, clock: Clock) -> None:
        self._settings = settings
        self._tokens = CallerTokens(keyring)
        self._clock = clock
        self._channels: dict[str, _FleetChannel] = {}

    def channel(self, service: str) -> grpc.aio.Channel:
        """The channel to `service`; ValueError when its address is not configured."""
        channel = self._channels.get(service)
        if channel is None:
            inner = grpc.aio.insecure_channel(self._settings.address_of(service), options=_OPTIONS)
            channel = self._channels[service] = _FleetChannel(inner, service, self._tokens)
        return channel

    async def close(self) -> None:
        """Closes all channels; calls in flight are cancelled."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()


class _FleetChannel(grpc.aio.Channel):
    """A channel whose calls carry the work at hand and raise FleetErrors.

    It wraps instead of using gRPC's client interceptors, which start two tasks per call.
    """

    def __init__(self, inner: grpc.aio.Channel, service: str, tokens: CallerTokens) -> None:
        self._inner = inner
        self._service = service
        self._tokens = tokens

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._single(self._inner.unary_unary(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._single(self._inner.stream_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._stream(self._inner.unary_stream(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._stream(self._inner.stream_stream(*args, **kwargs))

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _single(self, start: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, *, timeout: float | None = None, **options: Any) -> Any:
            self._prepare(options, timeout)
            try:
                return await start(request, **options)
            except AioRpcError as error:
                raise from_rpc_error(error, self._service) from error

        return call

    def _stream(self, start: Callable[..., Any]) -> Callable[..., "_FleetStream"]:
        def call(request: Any, *, timeout: float | None = None, **options: Any) -> _FleetStream:
            self._prepare(options, timeout)
            return _FleetStream(start(request, **options), self._service)

        return call

    def _prepare(self, options: dict[str, Any], timeout: float | None) -> None:
        """Adds timeout and metadata to the options of a call."""
        options["timeout"] = timeout_s = _trimmed(timeout, self._service)
        options["metadata"] = (*(options.get("metadata") or ()), *self._metadata(timeout_s))

    def _metadata(self, timeout_s: float) -> _Metadata:
        work = context.current()
        span = work.span or new_span()
        # A verified person's token says the tenant; otherwise this service vouches for it.
        tenant = None if work.identity_token else work.tenant_id
        metadata: list[tuple[str, str | bytes]] = [
            (md.CALLER, self._tokens.token(self._service, tenant)),
            (md.TRACEPARENT, span.traceparent),
            (md.TIMEOUT_MS, str(int(timeout_s * 1000))),
        ]
        if work.identity_token:
            metadata.append((md.IDENTITY, work.identity_token))
        if attribution := md.encode_attribution(work.attribution):
            metadata.append((md.ATTRIBUTION, attribution))
        return tuple(metadata)


class _FleetStream:
    """The responses of a streaming call; iterating raises FleetErrors, also half-way through."""

    def __init__(self, call: Any, service: str) -> None:
        self._call = call
        self._service = service
        self._responses: AsyncIterator[Any] = aiter(call)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await anext(self._responses)
        except AioRpcError as error:
            raise from_rpc_error(error, self._service) from error

    def cancel(self) -> bool:
        """Ends the call now; the server's handler is cancelled."""
        return self._call.cancel()

    def __del__(self) -> None:
        """A loop that was left early ends the call now, not when gRPC's cycle is collected."""
        if not self._call.done():
            self._call.cancel()


def _trimmed(timeout: float | None, service: str) -> float:
    """The time a call gets, in seconds; DeadlineExceeded when none is left for it."""
    remaining = context.remaining_s()
    if remaining is None:
        return DEFAULT_TIMEOUT_S if timeout is None else timeout
    limit = remaining - DEADLINE_MARGIN_S
    if limit <= 0:
        raise DeadlineExceeded(f"no time is left to call {service}")
    return limit if timeout is None else min(timeout, limit)
