"""Event streams of providers, a network read at a time.

The SDKs' own iteration makes a checked object of each event and hands them on one by one, which
cost more than all else that was done with an answer. Here the events that came together stay
together: `read` is one step for all of them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import aiohttp
import httpx2

from llm_gateway.providers.attempts import broken_off, first_token_late
from llm_gateway.question import Piece, TextDelta

# A text on its way to the visitor is a message of three services, and nobody reads as fast.
_TEXT_EVERY_S = 0.03
# No event of an answer comes near it: a stream without line ends must not fill the memory.
_LONGEST_EVENT = 1_000_000


class Event(NamedTuple):
    """An event: its name ("" where it has none) and its data."""

    name: str
    data: bytes


class EventReader:
    """Cuts a response's bytes into events (https://html.spec.whatwg.org, "Server-sent events").

    Lines end in LF or CRLF, as those of every provider do; comments and other fields are left out.
    """

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    async def read(self, until: float | None) -> list[Event] | None:
        """The events that have come, at least one; None at the end of the stream.

        DeadlineExceeded when none comes until then (monotonic seconds), Unavailable when the
        connection breaks or what comes is no event stream.
        """
        try:
            if until is None:
                return await self._next()
            async with asyncio.timeout(until - time.monotonic()):
                return await self._next()
        except TimeoutError as error:
            raise first_token_late() from error
        except (httpx2.HTTPError, aiohttp.ClientError) as error:
            raise broken_off("STREAM_BROKEN") from error

    async def _next(self) -> list[Event] | None:
        while (chunk := await anext(self._chunks, None)) is not None:
            if events := self._take(chunk):
                return events
        return None

    def _take(self, chunk: bytes) -> list[Event]:
        data = self._rest + chunk
        if b"\r" in data:
            # The half of a line end that came is one with the half to come.
            data = data.replace(b"\r\n", b"\n")
        *whole, self._rest = data.split(b"\n\n")
        if len(self._rest) > _LONGEST_EVENT:
            raise broken_off("STREAM_MALFORMED")
        return [event for block in whole if (event := _event(block)).data]


def _event(block: bytes) -> Event:
    name, data = b"", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return Event(name.decode("latin-1"), b"\n".join(data))


class Pace:
    """When the text of a stream that has come goes on: at once, or with what comes soon after.

    What a stream that falls silent has not passed on by then waits for its next event: the words of
    a moment, and only where nothing came after them.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._next_s = 0.0

    def is_due(self) -> bool:
        """Whether it is time; the next time is a moment later."""
        now = self._now_s()
        if now < self._next_s:
            return False
        self._next_s = now + _TEXT_EVERY_S
        return True


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces with neighbouring texts as one: each is a message on its way to the visitor."""
    together: list[Piece] = []
    for piece in pieces:
        last = together[-1] if together else None
        if isinstance(piece, TextDelta) and isinstance(last, TextDelta):
            together[-1] = TextDelta(last.text + piece.text)
        else:
            together.append(piece)
    return together
