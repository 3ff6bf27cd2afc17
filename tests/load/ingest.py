"""How fast a website becomes knowledge, and what it costs to look again at one that was read.

The website is a help centre's (its archive is not part of this repository), served on loopback. A
page that did not change must not reach a model: the Embed calls of llm-gateway are counted.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from fakes.website import serve_website
from fleetdesk_local.services import port_file
from harness.help_centre import articles, page, publish
from harness.local_fleet import LocalFleet, local_fleet

from . import processes
from .bench_help_centre import company

HEAD = [
    "read",
    "pages",
    "changed",
    "passages",
    "seconds",
    "pages/s",
    "passages/s",
    "Embed calls",
    "CPU s",
    "of models",
]
_POLL_S = 0.1
_EMBED_CALLS = re.compile(
    r'^fleetdesk_llm_calls_total\{[^}]*operation="embed"[^}]*\} (\S+)$', re.MULTILINE
)


@dataclass(frozen=True)
class Read:
    """One reading of the website: what it was for and what it took."""

    name: str
    pages: int
    changed: int
    passages: int
    seconds: float
    embed_calls: int
    cpu_s: float
    model_cpu_s: float

    def row(self) -> list[str]:
        """Its row of the table; rates are of all pages and passages, changed or not."""
        return [
            self.name,
            str(self.pages),
            str(self.changed),
            str(self.passages),
            f"{self.seconds:.1f}",
            f"{self.pages / self.seconds:.1f}",
            f"{self.passages / self.seconds:.1f}",
            str(self.embed_calls),
            f"{self.cpu_s:.1f}",
            f"{self.model_cpu_s:.1f}",
        ]


def own_fleet(data: Path, *, keep: bool = False) -> AbstractContextManager[LocalFleet]:
    """A fleet that may read websites on loopback, without a pause."""
    return local_fleet(
        data, keep=keep, FLEETDESK_FETCH_ALLOW="127.0.0.0/8", FLEETDESK_FETCH_PAUSE_S="0"
    )


async def measure(fleet: LocalFleet, count: int) -> list[Read]:
    """Read so many pages as a new company, then again unchanged, then with 1 % changed."""
    shown = articles(count)
    edited = shown[:: min(100, len(shown))]
    async with serve_website() as site, company(fleet.url) as client:
        site.etags = True
        publish(site, shown)
        body = {"type": "sitemap", "url": f"{site.url}/sitemap.xml", "max_pages": len(shown)}
        reading = _Reading(fleet, client)
        fresh = client.post("/v1/knowledge/sources", json=body)
        found = [await reading.take("first", fresh, len(shown))]
        again = f"/v1/knowledge/sources/{reading.source_id}/sync"
        found.append(await reading.take("again", client.post(again), 0))
        for article in edited:
            site.pages[article.path] = page(article.edited())
        found.append(await reading.take("again, edited", client.post(again), len(edited)))
    return found


class _Reading:
    """Has one source of a company read again and again."""

    def __init__(self, fleet: LocalFleet, client: httpx.AsyncClient) -> None:
        self._fleet = fleet
        self._client = client
        self.source_id = ""

    async def take(self, name: str, asking: Awaitable[httpx.Response], changed: int) -> Read:
        """What it took to read all pages because of the request `asking`."""
        calls, spent = await self._embed_calls(), processes.cpu_of_processes(self._fleet)
        began, since = time.monotonic(), datetime.now(UTC)
        self.source_id = (await asking).raise_for_status().json()["source_id"]
        site = await self._ended(since)
        seconds = time.monotonic() - began
        after = processes.cpu_of_processes(self._fleet)
        return Read(
            name=name,
            pages=site["ready_count"],
            changed=changed,
            passages=await self._passages(),
            seconds=seconds,
            embed_calls=await self._embed_calls() - calls,
            cpu_s=sum(after.values()) - sum(spent.values()),
            model_cpu_s=after[processes.MODELS] - spent[processes.MODELS],
        )

    async def _ended(self, since: datetime) -> dict[str, Any]:
        """What there is of the website once a reading that began then is done."""
        while True:
            found = await self._client.get(f"/v1/knowledge/sources/{self.source_id}")
            site = found.json()["site"]
            ended = site["end_time"] and datetime.fromisoformat(site["end_time"]) >= since
            if ended and not site["running"] and not site["pending_count"]:
                return site
            await asyncio.sleep(_POLL_S)

    async def _passages(self) -> int:
        count, token = 0, ""
        while True:
            url = f"/v1/knowledge/documents?page_size=100&page_token={token}"
            listed = (await self._client.get(url)).json()
            count += sum(item["chunk_count"] for item in listed["items"])
            if not (token := listed["next_page_token"]):
                return count

    async def _embed_calls(self) -> int:
        ports = json.loads(port_file(self._fleet.data, "llm-gateway").read_text())
        url = f"http://127.0.0.1:{ports['metrics']}/metrics"
        text = (await self._client.get(url)).text
        return sum(int(float(value)) for value in _EMBED_CALLS.findall(text))
