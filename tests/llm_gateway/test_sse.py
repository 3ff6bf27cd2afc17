"""Event streams, cut into events however the network cuts them."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest
from fleetkit.errors import DeadlineExceeded, Unavailable
from llm_gateway.providers.sse import Event, EventReader, Pace, joined
from llm_gateway.question import Cited, Passage, TextDelta

STREAM = 'event: one\ndata: {"a": "ä"}\n\n: a comment\n\ndata:1\ndata: 2\nid: 7\n\nevent: empty\n\n'
EVENTS = [Event("one", '{"a": "ä"}'.encode()), Event("", b"1\n2")]


async def chunks(parts: Sequence[bytes | Exception]) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


async def read_all(parts: Sequence[bytes | Exception]) -> list[Event]:
    reader = EventReader(chunks(parts))
    read: list[Event] = []
    while (events := await reader.read(None)) is not None:
        assert events
        read += events
    return read


class TestEventReader:
    @pytest.mark.parametrize("stream", [STREAM, STREAM.replace("\n", "\r\n")])
    @pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
    async def test_gives_whole_events_wherever_it_is_cut(self, stream: str, size: int) -> None:
        whole = stream.encode()
        parts = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert await read_all(parts) == EVENTS

    async def test_gives_together_what_came_together(self) -> None:
        reader = EventReader(chunks([STREAM.encode(), b"data: cut off"]))
        assert await reader.read(None) == EVENTS
        assert await reader.read(None) is None

    async def test_a_broken_connection_is_unavailable(self) -> None:
        with pytest.raises(Unavailable, match="broke off"):
            await read_all([STREAM.encode(), aiohttp.ClientPayloadError()])

    async def test_an_endless_event_is_unavailable(self) -> None:
        with pytest.raises(Unavailable, match="broke off"):
            await read_all([b"x" * 600_000] * 2)

    async def test_waits_no_longer_than_it_may(self) -> None:
        async def silent() -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

        with pytest.raises(DeadlineExceeded):
            await EventReader(silent()).read(time.monotonic() - 1)


def test_neighbouring_texts_become_one() -> None:
    cited = Cited(Passage("c", "d", "", (), "text", 0.0), 0, 4, 0, 2)
    pieces = [TextDelta("a"), TextDelta("b"), cited, TextDelta("c"), TextDelta("d")]
    assert joined(pieces) == [TextDelta("ab"), cited, TextDelta("cd")]


class TestPace:
    def test_text_goes_on_at_once_and_then_in_steps(self) -> None:
        moments = iter([5.0, 5.01, 5.029, 5.031, 5.05, 9.0])
        pace = Pace(lambda: next(moments))
        assert [pace.is_due() for _ in range(6)] == [True, False, False, True, False, True]
