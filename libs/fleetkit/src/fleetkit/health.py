"""The internal HTTP port: /metrics, /healthz (the event loop turns) and /readyz (may be called).

Served by a daemon thread, so that a blocked event loop is seen and not waited for.
"""

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from fleetkit.config import split_bind
from fleetkit.errors import FleetError

_CHECK_TIMEOUT_S = 2.0

Check = Callable[[], Awaitable[bool]]
_StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Health:
    """What the process says about itself: started or draining, and checks of what it needs."""

    def __init__(self) -> None:
        self._serving = False
        self._checks: dict[str, tuple[Check, bool]] = {}

    def add_check(self, name: str, check: Check, *, required: bool = True) -> None:
        """Adds a check to /readyz; one that is not required is shown but does not fail it."""
        self._checks[name] = (check, required)

    def set_serving(self, serving: bool) -> None:
        """Says that the process takes work, or that it starts or drains."""
        self._serving = serving

    async def readiness(self, timeout_s: float) -> dict[str, bool]:
        """The state of each check, and "ready": whether the process may be called."""
        checks = [_passes(check, timeout_s) for check, _ in self._checks.values()]
        results = await asyncio.gather(*checks)
        states = dict(zip(self._checks, results, strict=True))
        required = [states[name] for name, (_, required) in self._checks.items() if required]
        return {"ready": self._serving and all(required), **states}


class HealthServer:
    """Serves a `Health` and the process's metrics over HTTP."""

    def __init__(
        self, health: Health, bind: str, *, check_timeout_s: float = _CHECK_TIMEOUT_S
    ) -> None:
        self._health = health
        self._bind = bind
        self._check_timeout_s = check_timeout_s
        self._metrics: Any = make_wsgi_app()
        self._server: _ThreadingServer | None = None

    async def start(self) -> int:
        """Starts serving and returns the port; OSError when the address is taken."""
        self._loop = asyncio.get_running_loop()
        host, port = split_bind(self._bind)
        server = cast(
            _ThreadingServer,
            make_server(host, port, self._respond, _ThreadingServer, _SilentHandler),
        )
        self._server = server
        self._thread = threading.Thread(target=server.serve, daemon=True)
        self._thread.start()
        return server.server_port

    async def stop(self) -> None:
        """Stops serving and frees the port."""
        if self._server is not None:
            server, self._server = self._server, None
            await asyncio.to_thread(self._end, server)

    def _end(self, server: "_ThreadingServer") -> None:
        server.ending = True
        # One more call wakes it.
        address = server.server_name, server.server_port
        socket.create_connection(address, timeout=_CHECK_TIMEOUT_S).close()
        self._thread.join()
        server.server_close()

    def _respond(self, environ: dict[str, Any], start_response: _StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return self._metrics(environ, start_response)
        if path not in ("/healthz", "/readyz"):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found\n"]
        states = self._ask_loop()
        good = states is not None if path == "/healthz" else bool(states and states["ready"])
        start_response(
            "200 OK" if good else "503 Service Unavailable", [("Content-Type", "application/json")]
        )
        return [json.dumps({"ok": good, "checks": states or {}}).encode()]

    def _ask_loop(self) -> dict[str, bool] | None:
        """The checks, run on the event loop; None when it does not turn in time."""
        asked = asyncio.run_coroutine_threadsafe(
            self._health.readiness(self._check_timeout_s), self._loop
        )
        try:
            return asked.result(2 * self._check_timeout_s)
        except TimeoutError:
            asked.cancel()
            return None


async def _passes(check: Check, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            return await check()
    except (TimeoutError, OSError, FleetError):
        return False


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    ending = False

    def serve(self) -> None:
        """Sleeps until somebody calls; `serve_forever` would wake up now and then."""
        while not self.ending:
            self.handle_request()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the base has them
        """Lets nobody in who only calls to wake it."""
        return not self.ending

    def server_bind(self) -> None:
        """As the base's, without looking up the host's name, which may wait for DNS."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Probes come every few seconds and say nothing new."""
