"""Other people's websites, on loopback, and a name server of our own: no test asks a real one."""

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult


class Names(AbstractResolver):
    """A name server of our own: no test asks a real one."""

    def __init__(self, answers: Callable[[str], list[str]]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        found = self._answers(host)
        if not found:
            raise OSError(f"no such name: {host}")
        return [
            {"hostname": host, "host": address, "port": port, "proto": 0, "flags": 0,
             "family": socket.AF_INET6 if ":" in address else socket.AF_INET}
            for address in found
        ]  # fmt: skip

    async def close(self) -> None:
        return


class Website:
    """A web server on loopback that answers as it was told, and notes who asked for what.

    `pages` are HTML or text by path, `answers` anything else; other paths are not found. With
    `etags` pages can be asked for whether they have changed.
    """

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.answers: dict[str, Callable[[web.Request], Any]] = {}
        self.requests: list[web.Request] = []
        self.etags = False
        self.delay_s = 0.0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        await asyncio.sleep(self.delay_s)
        if (answer := self.answers.get(request.path)) is not None:
            made = answer(request)
            return await made if asyncio.iscoroutine(made) else made
        if (page := self.pages.get(request.path)) is None:
            return web.Response(status=404)
        etag = f'"{zlib.crc32(page.encode())}"'
        if self.etags and request.headers.get("If-None-Match") == etag:
            return web.Response(status=304)
        kind = "text/html" if page.lstrip().startswith("<") else "text/plain"
        headers = {"ETag": etag} if self.etags else {}
        return web.Response(text=page, content_type=kind, headers=headers)


@asynccontextmanager
async def serve_website() -> AsyncIterator[Website]:
    """A website on a free port."""
    site = Website()
    app = web.Application()
    app.router.add_get("/{path:.*}", site.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    site.port = runner.addresses[0][1]
    try:
        yield site
    finally:
        await runner.cleanup()
