"""A provider that plays a recorded answer to whatever it is asked, in some 30 µs of a core.

`python tests/load/played_provider.py FILE [MS]` serves the bytes of FILE as an event stream at
every path, at once or an event every MS milliseconds, and prints its port. The fake of Anthropic
thinks about each prompt, which would be measured together with what stands before it; what this one
says was recorded from that one.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Player(asyncio.Protocol):
    """One connection: reads requests by their length and answers each at once."""

    def __init__(self, parts: Sequence[bytes], pace_s: float) -> None:
        self._parts = parts
        self._pace_s = pace_s
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (size := _request_bytes(self._received)) and len(self._received) >= size:
            del self._received[:size]
            self._play(0, asyncio.get_running_loop().time())

    def _play(self, number: int, began_s: float) -> None:
        if self._transport is None or number == len(self._parts):
            return
        self._transport.write(self._parts[number])
        if self._pace_s:
            # By when the answer began: what comes late on a busy machine delays nothing after it.
            at_s = began_s + (number + 1) * self._pace_s
            asyncio.get_running_loop().call_at(at_s, self._play, number + 1, began_s)


def _request_bytes(received: bytearray) -> int:
    """The length of the first request; 0 while its head is not whole."""
    end = received.find(_END_OF_HEAD)
    if end < 0:
        return 0
    head = bytes(received[:end]).lower()
    at = head.find(_LENGTH)
    body = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return end + len(_END_OF_HEAD) + body


async def serve(body: bytes, pace_s: float) -> None:
    """Plays until it is killed."""
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    parts = [head.encode() + body]
    if pace_s:
        parts = [head.encode(), *(event + b"\n\n" for event in body.split(b"\n\n") if event)]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Player(parts, pace_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    pace_ms = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    asyncio.run(serve(Path(sys.argv[1]).read_bytes(), pace_ms / 1000))
