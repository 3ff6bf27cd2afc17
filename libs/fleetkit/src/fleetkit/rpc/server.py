"""The gRPC server of a service; `fleetkit.rpc.serving` has the rules around each RPC."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from fleetkit.clock import Clock
from fleetkit.config import FleetSettings
from fleetkit.rpc.access import access_of_service
from fleetkit.rpc.keys import KeyRing
from fleetkit.rpc.serving import Method, Serving
from fleetkit.rpc.status import MAX_METADATA_BYTES
from fleetkit.telemetry import tracer

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
MAX_CONCURRENT_RPCS = 1000
MAX_DEADLINE_S = 120.0
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    # Without this a second process on a taken port would silently share it.
    ("grpc.so_reuseport", 0),
)

_Handlers = dict[str, Any]
_AddServicer = Callable[[Any, Any], None]


class RpcServer:
    """Serves servicers with the fleet's rules, plus gRPC health and reflection.

    Messages are at most 8 MiB; a call without a deadline is refused, one with a longer deadline
    than `max_deadline_s` is cut to it.
    """

    def __init__(
        self,
        settings: FleetSettings,
        keyring: KeyRing,
        clock: Clock,
        *,
        max_deadline_s: float = MAX_DEADLINE_S,
    ) -> None:
        self._bind = settings.grpc_bind
        self._serving = Serving(
            settings.service,
            keyring,
            tracer(settings.service, settings.otlp_endpoint),
            max_deadline_s,
        )
        self._clock = clock
        self._services: dict[str, _Handlers] = {}
        # typeshed does not know grpc_health's aio servicer.
        self._health: Any = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]
        self._server: grpc.aio.Server | None = None

    @property
    def has_services(self) -> bool:
        """Whether anything was added; a process without servicers starts no RPC server."""
        return bool(self._services)

    def add(self, add_fn: _AddServicer, servicer: object) -> None:
        """Adds a servicer through its generated `add_…_to_server`; before `start`.

        ValueError when a method has no access option.
        """
        recorder = _Recorder()
        add_fn(servicer, recorder)
        for service_name, handlers in recorder.services.items():
            access = access_of_service(service_name)
            self._services[service_name] = {
                name: self._wrapped(Method(f"/{service_name}/{name}", access[name]), handler)
                for name, handler in handlers.items()
            }

    async def start(self) -> int:
        """Starts serving and returns the port; OSError when the address is taken."""
        server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=MAX_CONCURRENT_RPCS)
        for name, handlers in self._services.items():
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            [*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME], server
        )
        try:
            port = server.add_insecure_port(self._bind)
        except RuntimeError as error:
            raise OSError(f"cannot serve RPCs on {self._bind}: is the port taken?") from error
        await server.start()
        self._server = server
        for name in ("", *self._services):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return port

    async def stop(self, grace: float | None) -> None:
        """Refuses new RPCs, waits up to `grace` seconds for those in flight, cancels the rest."""
        if self._server is None:
            return
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)
        self._server = None

    def _wrapped(self, method: Method, handler: Any) -> Any:
        behaviour: Callable[[Any, Any], Any] = (
            handler.unary_unary
            or handler.unary_stream
            or handler.stream_unary
            or handler.stream_stream
        )

        async def serve(request: Any, call: grpc.aio.ServicerContext) -> Any:
            async with self._serving.around(method, call):
                return await behaviour(request, call)

        async def serve_stream(request: Any, call: grpc.aio.ServicerContext) -> None:
            async with self._serving.around(method, call):
                await _write_all(behaviour(request, call), call)

        return _same_shape(handler, serve_stream if handler.response_streaming else serve)


class _Recorder:
    """Stands in for the server while a generated `add_…_to_server` registers its handlers."""

    def __init__(self) -> None:
        self.services: dict[str, _Handlers] = {}

    def add_registered_method_handlers(self, service_name: str, handlers: _Handlers) -> None:
        self.services[service_name] = handlers

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """The same handlers again, in the older form."""


async def _write_all(responses: Any, call: grpc.aio.ServicerContext) -> None:
    """Sends what a handler yields; closes the handler at once when the call is cancelled."""
    if not isinstance(responses, AsyncGenerator):
        await responses
        return
    async with aclosing(responses):
        async for response in responses:
            await call.write(response)


def _same_shape(handler: Any, behaviour: Any) -> Any:
    shapes = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make: Any = shapes[(handler.request_streaming, handler.response_streaming)]
    return make(behaviour, handler.request_deserializer, handler.response_serializer)
