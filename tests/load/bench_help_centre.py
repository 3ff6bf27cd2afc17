"""Gives a help centre in three ways, by upload, sitemap and crawl, and compares what is found.

Run: python -m tests.load.bench_help_centre [--articles 414] [--url http://127.0.0.1:8080]

Without `--url` it starts a fleet of its own, as `make up` does, that may read websites on loopback.
A running one was started with FLEETDESK_FETCH_ALLOW=127.0.0.0/8. Each way has a company of its own.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes.website import Website, serve_website
from harness.help_centre import Article, articles, publish
from harness.local_fleet import LocalFleet, local_fleet

from . import machine
from .tables import table

HEAD = ["given by", "documents", "passages", "seconds", "documents/s", "requests to the website"]
_UPLOADS = 4
_QUESTIONS = 50
_TOP_K = 5
_SHOWN = 5
_POLL_S = 1.0
_ALLOWED, _PAUSE_S = "127.0.0.0/8", "0.02"


@dataclass(frozen=True)
class Known:
    """What a company's knowledge holds: each document's title and words, what questions find."""

    documents: Counter[tuple[str, str]]
    passages: int
    found: list[list[str]]


async def upload(client: httpx.AsyncClient, shown: list[Article]) -> None:
    """Each article as a Markdown file, a few at a time."""
    slots = asyncio.Semaphore(_UPLOADS)

    async def send(article: Article) -> None:
        async with slots:
            file = (f"{article.article_id}.md", article.file.encode())
            answer = await client.post("/v1/knowledge/sources", files={"file": file})
            answer.raise_for_status()

    await asyncio.gather(*(send(article) for article in shown))


async def website(client: httpx.AsyncClient, kind: str, url: str) -> None:
    """The website as one source."""
    body = {"type": kind, "url": url, "max_pages": 2_000}
    (await client.post("/v1/knowledge/sources", json=body)).raise_for_status()


async def until_read(client: httpx.AsyncClient) -> None:
    """Waits until nothing is being read any more."""
    while True:
        found = (await client.get("/v1/knowledge/sources?status=pending&page_size=1")).json()
        if not found["items"]:
            return
        await asyncio.sleep(_POLL_S)


async def known(client: httpx.AsyncClient, shown: list[Article]) -> Known:
    """All documents with their words (marks and spaces are the parsers' own), and searches."""
    documents: Counter[tuple[str, str]] = Counter()
    passages, token = 0, ""
    while True:
        page = (
            await client.get(f"/v1/knowledge/documents?page_size=100&page_token={token}")
        ).json()
        for item in page["items"]:
            document = (await client.get(f"/v1/knowledge/documents/{item['document_id']}")).json()
            words = " ".join(re.findall(r"\w+", document["text"].lower()))
            documents[item["title"], words] += 1
            passages += item["chunk_count"]
        if not (token := page["next_page_token"]):
            break
    step = max(1, len(shown) // _QUESTIONS)
    found = [await search(client, article.title) for article in shown[::step][:_QUESTIONS]]
    return Known(documents, passages, found)


async def search(client: httpx.AsyncClient, query: str) -> list[str]:
    """The titles found, best first."""
    body: dict[str, Any] = {"query": query, "top_k": _TOP_K, "rerank": False}
    answer = (await client.post("/v1/knowledge/search", json=body)).json()
    return [result["title"] for result in answer["results"]]


@asynccontextmanager
async def company(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A new company's client."""
    async with httpx.AsyncClient(base_url=url, timeout=60.0, trust_env=False) as client:
        body = {
            "email": f"{uuid4().hex}@example.com",
            "password": uuid4().hex,
            "company": "Help centre",
        }
        made = (await client.post("/v1/signup", json=body)).raise_for_status().json()
        client.headers["Authorization"] = f"Bearer {made['api_key']}"
        yield client


async def measure(url: str, shown: list[Article]) -> str:
    """Gives the articles in each way, one after the other, and compares what is there."""
    async with serve_website() as site:
        publish(site, shown)
        ways: dict[str, Callable[[httpx.AsyncClient], Awaitable[None]]] = {
            "upload": lambda client: upload(client, shown),
            "sitemap": lambda client: website(client, "sitemap", f"{site.url}/sitemap.xml"),
            "crawl": lambda client: website(client, "crawl", f"{site.url}/"),
        }
        rows: list[list[str]] = []
        all_known: dict[str, Known] = {}
        for name, give in ways.items():
            all_known[name], row = await _give(url, site, name, give, shown)
            print(f"{name}: done", file=sys.stderr)
            rows.append(row)
    return table(HEAD, rows) + "\n" + "\n".join(differences(all_known)) + "\n"


async def _give(
    url: str,
    site: Website,
    name: str,
    give: Callable[[httpx.AsyncClient], Awaitable[None]],
    shown: list[Article],
) -> tuple[Known, list[str]]:
    asked = len(site.requests)
    async with company(url) as client:
        began = time.monotonic()
        await give(client)
        await until_read(client)
        seconds = time.monotonic() - began
        failed = (await client.get("/v1/knowledge/sources?status=failed")).json()["items"]
        for source in failed[:_SHOWN]:
            print(f"{name}: {source['title']}: {source['error']}", file=sys.stderr)
        found = await known(client, shown)
    count = found.documents.total()
    figures = [f"{count}", f"{found.passages}", f"{seconds:.0f}", f"{count / seconds:.1f}"]
    return found, [name, *figures, f"{len(site.requests) - asked}"]


def differences(all_known: dict[str, Known]) -> list[str]:
    """A line for each way beside the first."""
    (first, mine), *others = all_known.items()
    lines: list[str] = []
    for name, theirs in others:
        missing, more = mine.documents - theirs.documents, theirs.documents - mine.documents
        same = sum(a == b for a, b in zip(mine.found, theirs.found, strict=True))
        lines.append(
            f"{name} beside {first}: {missing.total()} documents are not there with the same title"
            f" and words, {more.total()} others are; {same} of {len(mine.found)} searches find the"
            f" same {_TOP_K} titles in the same order"
        )
        lines += [f"  differs: {title}" for title, _ in sorted(missing)[:_SHOWN]]
    return lines


def _own_fleet(folder: Path) -> AbstractContextManager[LocalFleet]:
    return local_fleet(
        folder / "data", FLEETDESK_FETCH_ALLOW=_ALLOWED, FLEETDESK_FETCH_PAUSE_S=_PAUSE_S
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, help="so many of all over the help centre")
    parser.add_argument("--url", help="of a running fleet that may read websites on loopback")
    options = parser.parse_args()
    shown = articles(options.articles)
    if options.url:
        print(asyncio.run(measure(options.url, shown)))
    else:
        with tempfile.TemporaryDirectory() as folder, _own_fleet(Path(folder)) as fleet:
            print(asyncio.run(measure(fleet.url, shown)))
    print(machine.describe())


if __name__ == "__main__":
    main()
