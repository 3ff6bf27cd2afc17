"""A TCP link to a server that can be slow, one-way, or cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class BadLink:
    """Passes bytes on to a server; make it with `bad_link`.

    `delay_s` holds back each piece of what the server says; while `mute`, nothing of it arrives.
    """

    def __init__(self, url: str, port: int = 0) -> None:
        self._target = urlsplit(url)
        self._port = port
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self.delay_s = 0.0
        self.mute = False

    @property
    def url(self) -> str:
        """The server's URL over this link."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"{self._target.scheme}://127.0.0.1:{port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)

    async def close(self) -> None:
        """Refuses new connections and cuts those that are open."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._links, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Ends all connections; new ones are taken."""
        for link in self._links:
            link.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: its task would be unknown here, and so not cut, until its first step.
        link = asyncio.ensure_future(self._pass(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        link.add_done_callback(lambda _: writer.transport.abort())

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, to_there = await asyncio.open_connection(
                self._target.hostname, self._target.port
            )
        except OSError:
            return
        pumps = [
            asyncio.create_task(self._pump(reader, to_there, answers=False)),
            asyncio.create_task(self._pump(there, writer, answers=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            to_there.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while data := await reader.read(65_536):
            if answers and self.delay_s:
                await asyncio.sleep(self.delay_s)
            if answers and self.mute:
                continue
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def bad_link(url: str, port: int = 0) -> AsyncIterator[BadLink]:
    """A link to the server of `url` on `port`, by default a free one; closed at the end."""
    link = BadLink(url, port)
    await link.open()
    try:
        yield link
    finally:
        await link.close()
