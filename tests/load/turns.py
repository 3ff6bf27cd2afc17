"""How long a visitor waits: to the first words, and to the end of the answer."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from harness import talking

from .tables import percentile

_SHOWN = (50, 95, 99)
HEAD = [
    "visitors",
    "pause s",
    "turns/s",
    *(f"first words p{p} ms" for p in _SHOWN),
    *(f"whole turn p{p} ms" for p in _SHOWN),
    *(f"without the model p{p} ms" for p in _SHOWN),
    "answered",
    "failed",
]
DOCUMENT = Path(__file__).resolve().parents[1] / "e2e" / "returns.md"
QUESTIONS = (
    "How many days do I have to return a product?",
    "Where do I find the return label?",
    "When do you refund the price of the product?",
    "Can I return a product that was made to order?",
    "Which card does the refund go to?",
)


@dataclass(frozen=True)
class Turns:
    """Seconds to the first words and to the end of each turn of `visitors` within `seconds`.

    `model_s` is what the models took of each turn: the CPU time that its receipt names. Waiting for
    a model that is busy with others is not in it.
    """

    visitors: int
    pause_s: float
    seconds: float
    first_s: list[float]
    whole_s: list[float]
    model_s: list[float]
    answered: int
    failed: int

    def row(self) -> list[str]:
        """Its row of the table."""
        rate = f"{len(self.whole_s) / self.seconds:.1f}"
        without_s = [whole - model for whole, model in zip(self.whole_s, self.model_s, strict=True)]
        figures = [
            f"{percentile(values, each) * 1000:.0f}"
            for values in (self.first_s, self.whole_s, without_s)
            for each in _SHOWN
        ]
        counts = [str(self.answered), str(self.failed)]
        return [str(self.visitors), f"{self.pause_s:g}", rate, *figures, *counts]


async def teach(client: httpx.AsyncClient) -> None:
    """Give the demo tenant a document that answers the questions."""
    file = (DOCUMENT.name, DOCUMENT.read_bytes(), "text/markdown")
    given = await client.post("/v1/knowledge/sources", files={"file": file})
    source = f"/v1/knowledge/sources/{given.json()['source_id']}"
    while (await client.get(source)).json()["status"] not in ("ready", "failed"):
        await asyncio.sleep(0.1)


async def measure(
    client: httpx.AsyncClient, agent_id: str, visitors: int, pause_s: float, seconds: float
) -> Turns:
    """Let visitors ask one question after another for `seconds`, each in its conversation.

    Each reads its answer for `pause_s` before it asks on; they begin one after the other.
    """
    found = Turns(visitors, pause_s, seconds, [], [], [], 0, 0)
    counts: Counter[str] = Counter()
    began = time.monotonic()

    async def visitor(number: int) -> None:
        conversation_id = await talking.begin(client, agent_id)
        asked = number
        await asyncio.sleep(pause_s * number / visitors)
        while time.monotonic() < began + seconds:
            try:
                outcome = await _turn(client, conversation_id, QUESTIONS[asked % 5], found)
            except httpx.HTTPError:
                outcome = "failed"
            counts[outcome] += 1
            asked += 1
            await asyncio.sleep(pause_s)

    await asyncio.gather(*(visitor(number) for number in range(visitors)))
    spent = time.monotonic() - began
    answered, failed = counts["answered"], counts["failed"]
    return replace(found, seconds=spent, answered=answered, failed=failed)


async def _turn(
    client: httpx.AsyncClient, conversation_id: str, question: str, found: Turns
) -> str:
    """One question; its times go to `found`. Returns its outcome, `failed` for an error."""
    began = time.monotonic()
    first_s = 0.0
    async for event in talking.ask(client, conversation_id, question):
        if event.kind == "message.delta" and not first_s:
            first_s = time.monotonic() - began
        if event.kind == "message.completed":
            found.first_s.append(first_s)
            found.whole_s.append(time.monotonic() - began)
            found.model_s.append(_model_s(event.data["receipt"]))
            return event.data["outcome"]
    return "failed"


def _model_s(receipt: dict[str, Any]) -> float:
    return sum(item["units"] for item in receipt["items"] if item["kind"] == "compute_us") / 1e6
