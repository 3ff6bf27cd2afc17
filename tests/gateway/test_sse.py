"""Streams of events: what a listener gets between events, and when the process is to end."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from fleetdesk.conversation.v1 import conversation_pb2 as pb
from gateway.sse import Feed, encoded
from gateway.stream_slots import StreamSlots


async def two_events_and_silence() -> AsyncGenerator[pb.TurnEvent, None]:
    for number in (1, 2):
        delta = pb.TurnDelta(text=f"part {number}")
        yield pb.TurnEvent(message_id="m", sequence=number, delta=delta)
    await asyncio.Event().wait()


class TestEnding:
    async def test_a_listener_hears_what_came_and_is_let_go(self) -> None:
        slots = StreamSlots(10)
        feed = Feed(two_events_and_silence(), slots.ending)
        await feed.begin()
        await slots.end_listening()
        async with asyncio.timeout(5):
            heard = [frame async for frame in encoded(feed, for_visitor=True)]
        assert [b"part 1" in frame or b"part 2" in frame for frame in heard] in (
            [True],
            [True, True],
        )

    async def test_an_answer_is_told_to_its_end(self) -> None:
        feed = Feed(two_events_and_silence())
        heard: list[bytes] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                async for frame in encoded(feed, for_visitor=True):
                    heard.append(frame)  # noqa: PERF401 - it does not end
        assert len(heard) == 2
