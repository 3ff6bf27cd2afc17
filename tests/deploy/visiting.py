"""What a company and its visitor do first, against services in containers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from harness import talking

DOCUMENT = "# Returns\n\nYou have 30 days to return a product. The label is in the parcel.\n"
QUESTION = "How many days do I have to return a product?"
_PATIENCE_S = 60


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[str]:
    """Signs up, teaches, asks; yields the answer's outcome while a listener's stream is open."""
    async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE_S) as client:
        for path in ("/widget.js", "/openapi.json", "/healthz"):
            (await client.get(path)).raise_for_status()
        login = {"email": "ann@example.com", "password": "correct horse 1", "company": "Example"}
        made = await client.post("/v1/signup", json=login)
        made.raise_for_status()
        client.headers["Authorization"] = f"Bearer {made.json()['api_key']}"
        await _teach(client)
        conversation_id = await talking.begin(client, made.json()["agent_id"])
        answer = await talking.answer(client, conversation_id, QUESTION)
        async with client.stream("GET", f"/v1/conversations/{conversation_id}/events") as events:
            events.raise_for_status()
            yield answer["outcome"]


async def _teach(client: httpx.AsyncClient) -> None:
    file = ("returns.md", DOCUMENT.encode(), "text/markdown")
    given = await client.post("/v1/knowledge/sources", files={"file": file})
    given.raise_for_status()
    async with asyncio.timeout(_PATIENCE_S):
        source = f"/v1/knowledge/sources/{given.json()['source_id']}"
        while (status := (await client.get(source)).json()["status"]) != "ready":
            if status == "failed":
                raise RuntimeError("the document could not be read")
            await asyncio.sleep(0.1)
