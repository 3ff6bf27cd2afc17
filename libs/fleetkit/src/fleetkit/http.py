"""A public HTTP server inside a service's process (the gateway's), stopped with the rest of it."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fleetkit.config import split_bind

_BACKLOG = 512


class HttpServer:
    """An ASGI app under uvicorn; `options` are uvicorn's own.

    uvicorn is imported only by a process that serves HTTP, and leaves signals to the process.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        bind: str,
        grace_s: float,
        **options: Any,
    ) -> None:
        self._app = app
        self._bind = bind
        self._grace_s = grace_s
        self._options = options
        self._server: Any = None
        self._socket: socket.socket | None = None
        self._started = asyncio.Event()
        self._ended = asyncio.Event()

    def listen(self) -> int:
        """Takes the address and returns the port; OSError when it is taken."""
        host, port = split_bind(self._bind)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        # Connections inherit it. asyncio sets it only on sockets that name their protocol, and
        # without it a body waits 40 ms for the acknowledgement of its headers.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket.getsockname()[1]

    async def run(self) -> None:
        """Serves until `stop`; after `listen`."""
        import uvicorn

        listening, started = self._socket, self._started
        if listening is None:
            raise RuntimeError("listen() comes before run()")

        class Server(uvicorn.Server):
            @contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                if not self.should_exit:
                    started.set()

        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(self._grace_s)),
            **self._options,
        )
        self._server = Server(config)
        try:
            await self._server.serve(sockets=[listening])
        except SystemExit as error:
            # uvicorn's way to say that the app's start-up failed; it has logged why.
            raise RuntimeError("the HTTP application did not start") from error
        finally:
            listening.close()
            self._ended.set()
            started.set()

    async def wait_started(self) -> None:
        """Waits until the app has started up; RuntimeError when it could not."""
        await self._started.wait()
        if self._ended.is_set():
            raise RuntimeError("the HTTP application did not start")

    async def stop(self) -> None:
        """Refuses new connections, waits for requests in flight, at most the grace period."""
        if self._server is None:
            if self._socket is not None:
                self._socket.close()
            return
        self._server.should_exit = True
        await self._ended.wait()
