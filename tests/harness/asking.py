"""Asking over HTTP, and a script that answers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fakes.neighbours import FakeNeighbours, completed, passage, quote

from harness.desk import Desk

RESET = "Hold the reset button for ten seconds. The light turns amber. Then let go of it."
ANSWER = "Hold the reset button for ten seconds."
QUESTION = "How do I reset the router?"


def reset_script(neighbours: FakeNeighbours, *pieces: Any) -> None:
    """The neighbours know how to reset a router, and write it in two pieces, or as told."""
    found = passage("Reset the router", RESET)
    neighbours.retrieval.results = [found]
    neighbours.retrieval.relevance = 0.9
    neighbours.retrieval.vector_reason = ""
    neighbours.llm.script = pieces or ("Hold the reset ", "button for ten seconds.")
    neighbours.llm.script = (
        *neighbours.llm.script,
        quote(found, ANSWER, ANSWER),
        completed(),
    )


@dataclass(frozen=True)
class Event:
    """A server-sent event; `event_id` is "" when it has none."""

    name: str
    event_id: str
    data: dict[str, Any]

    @property
    def number(self) -> int:
        """Its number within its message."""
        return int(self.event_id.rpartition(":")[2])


@dataclass
class Listener:
    """A stream that is being read: its head, its events, and comments on the way."""

    response: httpx.Response
    comments: int = 0

    async def events(self) -> AsyncIterator[Event]:
        """The events as they come."""
        fields: dict[str, str] = {}
        async for line in self.response.aiter_lines():
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                yield Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
                fields = {}


@asynccontextmanager
async def listening(
    desk: Desk, method: str, path: str, headers: dict[str, str], **options: Any
) -> AsyncIterator[Listener]:
    """An open stream."""
    headers = {**headers, "Accept": "text/event-stream"}
    async with desk.client.stream(method, path, headers=headers, **options) as response:
        if not response.is_success:
            await response.aread()
        yield Listener(response)


async def asked(
    desk: Desk, conversation_id: str, headers: dict[str, str], text: str = QUESTION
) -> list[Event]:
    """The events of a turn, from its first to its last."""
    path = f"/v1/conversations/{conversation_id}/messages"
    async with listening(desk, "POST", path, headers, json={"text": text}) as listener:
        assert listener.response.status_code == 200, listener.response.text
        return [event async for event in listener.events()]


async def answered(
    desk: Desk, conversation_id: str, headers: dict[str, str], text: str = QUESTION, **more: str
) -> httpx.Response:
    """The answer, whole."""
    path = f"/v1/conversations/{conversation_id}/messages"
    return await desk.client.post(path, json={"text": text}, headers={**headers, **more})


def text_of(events: list[Event]) -> str:
    """What the deltas add up to."""
    return "".join(event.data["text"] for event in events if event.name == "message.delta")
