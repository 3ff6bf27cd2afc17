"""A public HTTP server inside a process."""

import asyncio
import signal
import socket
from typing import Any

import httpx
import pytest
from fleetkit.http import HttpServer


class App:
    """Answers GET / at once, and GET /slow when told to."""

    def __init__(self, *, starts: bool = True) -> None:
        self.starts = starts
        self.began, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        if scope["path"] == "/slow":
            self.began.set()
            await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    async def live(self, receive: Any, send: Any) -> None:
        await receive()
        if not self.starts:
            await send({"type": "lifespan.startup.failed", "message": "no"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


class TestHttpServer:
    async def test_serves_and_finishes_what_is_in_flight(self) -> None:
        app = App()
        before = signal.getsignal(signal.SIGTERM)
        server = HttpServer(app, "127.0.0.1:0", grace_s=30)
        url = f"http://127.0.0.1:{server.listen()}"
        running = asyncio.create_task(server.run())
        await server.wait_started()
        assert signal.getsignal(signal.SIGTERM) is before
        async with httpx.AsyncClient(timeout=30) as client:
            assert (await client.get(url)).text == "/"
            slow = asyncio.create_task(client.get(f"{url}/slow"))
            await app.began.wait()
            stopping = asyncio.create_task(server.stop())
            await asyncio.sleep(0)
            app.go_on.set()
            assert (await slow).text == "/slow"
        await stopping
        await running

    async def test_a_body_does_not_wait_for_the_acknowledgement_of_its_headers(self) -> None:
        server = HttpServer(App(), "127.0.0.1:0", grace_s=1)
        with socket.create_connection(("127.0.0.1", server.listen())):
            listening = server._socket
            assert listening is not None
            accepted, _ = await asyncio.to_thread(listening.accept)
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await server.stop()

    async def test_a_taken_port_is_refused(self) -> None:
        first = HttpServer(App(), "127.0.0.1:0", grace_s=1)
        port = first.listen()
        with pytest.raises(OSError, match="in use"):
            HttpServer(App(), f"127.0.0.1:{port}", grace_s=1).listen()
        await first.stop()

    async def test_an_app_that_cannot_start_is_an_error(self) -> None:
        server = HttpServer(App(starts=False), "127.0.0.1:0", grace_s=1)
        server.listen()
        running = asyncio.create_task(server.run())
        async with asyncio.timeout(10):
            with pytest.raises(RuntimeError, match="did not start"):
                await server.wait_started()
            with pytest.raises(RuntimeError, match="did not start"):
                await running
        await server.stop()
