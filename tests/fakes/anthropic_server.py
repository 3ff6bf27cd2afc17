"""A server that speaks Anthropic's Messages API, streamed and whole, as the official SDK expects.

It answers from the documents of the request (the first block of each, cited), keeps the prompt
cache of `prefix_cache.py`, reports usage as the real one does, and fails by script:
`server.script(overloaded(), rate_limited(2), Answer(...))`. Each API key is a workspace of its
own.

Standalone: `cd tests && python -m fakes.anthropic_server --port 8090`; `GET /received` tells the
usage of each request that it answered, and the seconds it took.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from aiohttp import web
from fakes.faults import (
    Failure,
    Oddities,
    Reset,
    Script,
    StreamFaults,
    overloaded,
    play,
    rate_limited,
    reset,
)
from fakes.prefix_cache import MINIMUM_TOKENS, PrefixCache, as_list, count_tokens, refusal

__all__ = [
    "Answer",
    "Block",
    "Failure",
    "FakeAnthropic",
    "Reset",
    "overloaded",
    "rate_limited",
]

_BYTES_PER_TOKEN = 4
_VERSION = "2026-10-21"


@dataclass(frozen=True, slots=True)
class Block:
    """Text that cites blocks [first, end) of documents; `quote` lies about their text."""

    text: str
    cites: tuple[tuple[int, int, int], ...] = ()
    quote: str | None = None


@dataclass(frozen=True, slots=True)
class Answer(StreamFaults):
    """An answer in blocks; by default it repeats and cites the first block of each document."""

    blocks: Sequence[Block] | None = None
    stop_reason: str = "end_turn"
    hand_over: str = ""


Scripted = Answer | Failure | Reset


class FakeAnthropic:
    """The server.

    `requests` has the bodies it was sent and `keys` by which keys, `usages` what it reported for
    each that it answered, `billed` the same with their output, `seconds` how long each of those
    took in here. `counted` has the bodies whose tokens it counted, unless `count_fails`. `advance`
    moves the clock of its cache.
    """

    def __init__(self, cache_minimum_tokens: int | Mapping[str, int] = MINIMUM_TOKENS) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.billed: list[tuple[datetime, str, dict[str, Any]]] = []
        self.usages: list[dict[str, Any]] = []
        self.counted: list[dict[str, Any]] = []
        self.count_fails = False
        self.seconds: list[float] = []
        self.url = ""
        self._script: Script[Scripted] = Script(Answer())
        self._cache = PrefixCache(self._now, cache_minimum_tokens)
        self._advanced_s = 0.0
        self._runner: web.AppRunner | None = None

    def script(self, *steps: Scripted) -> None:
        """Adds what to do with the next requests; without, it answers."""
        self._script.add(*steps)

    def always(self, step: Scripted) -> None:
        """What to do when the script is at its end."""
        self._script.otherwise = step

    def advance(self, seconds: float) -> None:
        """Moves the clock that the cache's entries live by."""
        self._advanced_s += seconds

    async def start(self, port: int = 0) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/messages/count_tokens", self._count_tokens)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/organizations/usage_report/messages", self._report)
        app.router.add_get("/received", self._received)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        """The first page of models, which shows whether a key is one."""
        if _key(request) in ("", "wrong"):
            return _error(Failure(401, "authentication_error"))
        return web.json_response({"data": [], "has_more": False, "first_id": None, "last_id": None})

    async def _report(self, request: web.Request) -> web.Response:
        """The Admin API's usage report, a day a page, whatever key a request was made by."""
        if not _key(request).startswith("sk-ant-admin"):
            return _error(Failure(403, "permission_error"))
        start, end = (
            datetime.fromisoformat(request.query[each]) for each in ("starting_at", "ending_at")
        )
        days = [start + timedelta(days=number) for number in range((end - start).days)]
        day = days[int(request.query.get("page", "0"))]
        of_day = [
            _reported(model, usage)
            for time, model, usage in self.billed
            if day <= time < day + timedelta(days=1)
        ]
        more = day < days[-1]
        bucket = {"starting_at": day.isoformat(), "results": of_day}
        number = str(days.index(day) + 1) if more else None
        return web.json_response({"data": [bucket], "has_more": more, "next_page": number})

    def _now(self) -> float:
        return time.monotonic() + self._advanced_s

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        body = await request.json()
        if problem := _problem(request, body):
            return _error(problem)
        self.requests.append(body)
        self.keys.append(_key(request))
        step = self._script.take()
        if isinstance(step, Failure):
            return _error(step)
        if isinstance(step, Reset):
            return reset(request)
        workspace = _key(request)
        prompt = self._cache.look_up(workspace, body)
        usage = prompt.as_usage()
        self.usages.append(usage)
        events = _events(step, body, usage)
        self.billed.append((datetime.now(UTC), body["model"], _whole(events)["usage"]))
        if body.get("stream"):
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            self._cache.write(workspace, prompt)
            sent = await play(request, response, map(_wire, events), step, _ODDITIES)
        else:
            self._cache.write(workspace, prompt)
            response = web.json_response(_whole(events))
            sent = len(events)
        if sent >= len(events) - 1:
            usage["output_tokens"] = events[-2]["usage"]["output_tokens"]
        self.seconds.append(time.perf_counter() - began)
        return response

    async def _count_tokens(self, request: web.Request) -> web.Response:
        body = await request.json()
        if problem := _problem(request, body):
            return _error(problem)
        if self.count_fails:
            return _error(overloaded())
        self.counted.append(body)
        return web.json_response({"input_tokens": count_tokens(body)})

    async def _received(self, request: web.Request) -> web.Response:
        rows = [
            {"usage": usage, "seconds": seconds}
            for usage, seconds in zip(self.usages, self.seconds, strict=False)
        ]
        return web.json_response({"requests": len(self.requests), "answered": rows})


def _key(request: web.Request) -> str:
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    return request.headers.get("x-api-key", "") or bearer


def _problem(request: web.Request, body: dict[str, Any]) -> Failure | None:
    if _key(request) in ("", "wrong"):
        return Failure(401, "authentication_error")
    message = _refusal(request.headers.get("anthropic-version"), body) or refusal(body)
    return Failure(400, "invalid_request_error", message=message) if message else None


def _refusal(version: str | None, body: dict[str, Any]) -> str:
    """What API version 2026-10-21 does not accept; "" when the request is fine."""
    if version != _VERSION:
        return f"anthropic-version: {version} is not spoken here"
    for parameter in ("temperature", "top_p", "top_k"):
        if parameter in body:
            return f"{parameter}: Extra inputs are not permitted"
    for message in body["messages"]:
        for block in as_list(message["content"]):
            if message["role"] == "assistant" and block["type"] == "document":
                return "messages: document blocks are for the user"
            if block["type"] == "text" and (not block["text"].strip() or block.get("citations")):
                return "messages: text blocks must be non-empty and carry no citations"
    return ""


def _events(step: Answer, body: dict[str, Any], usage: dict[str, Any]) -> list[dict[str, Any]]:
    message = {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    documents = _documents(body)
    blocks = () if step.hand_over else step.blocks
    if blocks is None:
        blocks = [
            Block(document["source"]["content"][0]["text"].strip() + " ", ((index, 0, 1),))
            for index, document in enumerate(documents)
        ]
    said = ""
    for index, block in enumerate(blocks):
        events += _block_events(index, block, documents)
        said += block.text
    if step.hand_over:
        events += _tool_events(len(blocks), step.hand_over)
    output_tokens = max(1, len(said) // _BYTES_PER_TOKEN)
    stop_reason = "tool_use" if step.hand_over else step.stop_reason
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    events.append(
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": output_tokens}}
    )
    return [*events, {"type": "message_stop"}]


def _block_events(
    index: int, block: Block, documents: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    start = {"type": "text", "text": "", "citations": [] if block.cites else None}
    events = [{"type": "content_block_start", "index": index, "content_block": start}]
    for document, first, end in block.cites:
        content = documents[document]["source"]["content"] if document < len(documents) else []
        quote = "".join(part["text"] for part in content[first:end])
        citation = {
            "type": "content_block_location",
            "cited_text": block.quote if block.quote is not None else quote,
            "document_index": document,
            "document_title": None,
            "start_block_index": first,
            "end_block_index": end,
        }
        events.append(_delta(index, {"type": "citations_delta", "citation": citation}))
    # Pieces of 7 characters: neither words nor links arrive whole.
    pieces = [block.text[at : at + 7] for at in range(0, len(block.text), 7)]
    events += [_delta(index, {"type": "text_delta", "text": piece}) for piece in pieces]
    return [*events, {"type": "content_block_stop", "index": index}]


def _tool_events(index: int, reason: str) -> list[dict[str, Any]]:
    start = {"type": "tool_use", "id": "toolu_fake", "name": "hand_over", "input": {}}
    arguments = {"type": "input_json_delta", "partial_json": json.dumps({"reason": reason})}
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        _delta(index, arguments),
        {"type": "content_block_stop", "index": index},
    ]


def _delta(index: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _documents(body: dict[str, Any]) -> list[dict[str, Any]]:
    blocks = [block for message in body["messages"] for block in as_list(message["content"])]
    return [block for block in blocks if block["type"] == "document"]


def recorded(body: dict[str, Any], answer: Answer) -> tuple[bytes, bytes]:
    """A request and the stream that answers it, as bytes, for what plays them without this."""
    usage = PrefixCache(lambda: 0.0).look_up("", body).as_usage()
    stream = b"".join(map(_wire, _events(answer, body, usage)))
    return json.dumps(body).encode(), stream


def _reported(model: str, usage: dict[str, Any]) -> dict[str, Any]:
    written = usage.get("cache_creation") or {}
    return {
        "model": f"{model}-20260922",
        "uncached_input_tokens": usage["input_tokens"],
        "cache_creation": {
            f"ephemeral_{ttl}_input_tokens": written.get(f"ephemeral_{ttl}_input_tokens", 0)
            for ttl in ("5m", "1h")
        },
        "cache_read_input_tokens": usage.get("cache_read_input_tokens", 0),
        "output_tokens": usage["output_tokens"],
        "server_tool_use": {"web_search_requests": 0},
    }


def _whole(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a stream of events adds up to."""
    message = events[0]["message"]
    content: list[dict[str, Any]] = []
    for event in events[1:]:
        match event["type"]:
            case "content_block_start":
                content.append({**event["content_block"]})
            case "content_block_delta":
                _add(content[-1], event["delta"])
            case "message_delta":
                output = event["usage"]["output_tokens"]
                usage = {**message["usage"], "output_tokens": output}
                message = {**message, **event["delta"], "usage": usage}
            case _:
                pass
    return {**message, "content": content}


def _add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "citations_delta":
            block["citations"] = [*block["citations"], delta["citation"]]
        case _:
            block["input"] = json.loads(delta["partial_json"])


def _wire(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


_ODDITIES = Oddities(
    ping=_wire({"type": "ping"}),
    malformed=b"event: content_block_delta\ndata: {not json\n\n",
    error=_wire({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
)


def _error(failure: Failure) -> web.Response:
    body = {"type": "error", "error": {"type": failure.kind, "message": failure.message}}
    return web.json_response(body, status=failure.status, headers=failure.headers)


async def _serve(port: int) -> None:
    server = await FakeAnthropic().start(port)
    print(server.url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args().port))
