"""Talking with an agent over the public API, for tests."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import aconnect_sse


@dataclass(frozen=True)
class Event:
    """A server-sent event; `number` counts within its message."""

    kind: str
    message_id: str
    number: int
    data: dict[str, Any]


async def begin(client: httpx.AsyncClient, agent_id: str) -> str:
    """Begin a conversation; returns its id."""
    begun = await client.post("/v1/conversations", json={"agent_id": agent_id})
    assert begun.status_code == 201, begun.text
    return begun.json()["conversation_id"]


async def ask(client: httpx.AsyncClient, conversation_id: str, text: str) -> AsyncIterator[Event]:
    """The events of one turn, until its stream ends or breaks."""
    url = f"/v1/conversations/{conversation_id}/messages"
    async with aconnect_sse(client, "POST", url, json={"text": text}) as source:
        source.response.raise_for_status()
        async for event in source.aiter_sse():
            yield _event(event.event, event.id, event.data)


async def answer(client: httpx.AsyncClient, conversation_id: str, text: str) -> dict[str, Any]:
    """Ask and return the finished answer, as JSON."""
    url = f"/v1/conversations/{conversation_id}/messages"
    answered = await client.post(url, json={"text": text})
    assert answered.status_code < 300, answered.text
    return answered.json()


async def messages(client: httpx.AsyncClient, conversation_id: str) -> list[dict[str, Any]]:
    """The conversation's messages, oldest first."""
    found = await client.get(f"/v1/conversations/{conversation_id}")
    assert found.status_code == 200, found.text
    return found.json()["messages"]


async def cost_of(client: httpx.AsyncClient, conversation_id: str) -> int:
    """The conversation's line of the costs, in nano-dollars."""
    found = await client.get("/v1/analytics/costs", params={"group_by": "conversation"})
    assert found.status_code == 200, found.text
    groups = {group["key"]: group["amount_nanos"] for group in found.json()["groups"]}
    return groups.get(conversation_id, 0)


def _event(kind: str, event_id: str, data: str) -> Event:
    message_id, _, number = event_id.rpartition(":")
    return Event(kind, message_id, int(number or 0), json.loads(data))
