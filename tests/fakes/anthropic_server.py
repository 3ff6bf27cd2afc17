"""A server that speaks the streaming format of Anthropic's Messages API, as the SDK expects it.

It answers from the documents of the request (the first block of the first one, cited), reports
usage as the real one does (`input_tokens` without what the cache served), keeps a prefix cache,
and fails by script: `server.script(Overloaded(), RateLimited(retry_after_s=2), Answer(...))`.

Standalone: `python tests/fakes/anthropic_server.py --port 8090`.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Block:
    """Text that cites blocks [first, end) of documents; `quote` lies about their text."""

    text: str
    cites: tuple[tuple[int, int, int], ...] = ()
    quote: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in blocks; by default it repeats and cites the first block of each document."""

    blocks: Sequence[Block] | None = None
    stop_reason: str = "end_turn"
    hand_over: str = ""
    first_token_after_s: float = 0.0
    """Silence, but for pings, before the first token."""
    cut_after_events: int | None = None
    """The connection closes cleanly after so many events."""
    reset_after_events: int | None = None
    """The connection is reset after so many events."""
    malformed_after_events: int | None = None
    """An event that is not JSON comes after so many."""
    error_after_events: int | None = None
    """An overloaded_error event comes after so many."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error instead of a stream."""

    status: int
    kind: str
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "scripted"


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset before any answer."""


def rate_limited(retry_after_s: float) -> Failure:
    return Failure(429, "rate_limit_error", {"retry-after": str(retry_after_s)})


def overloaded() -> Failure:
    return Failure(529, "overloaded_error")


Scripted = Answer | Failure | Reset


class FakeAnthropic:
    """The server; `requests` has the bodies it was sent, `usages` what it reported for each."""

    def __init__(self, cache_minimum_tokens: int = 1024) -> None:
        self.requests: list[dict[str, Any]] = []
        self.usages: list[dict[str, Any]] = []
        self.url = ""
        self._script: list[Scripted] = []
        self._cache_minimum_tokens = cache_minimum_tokens
        self._cached: set[str] = set()
        self._runner: web.AppRunner | None = None

    def script(self, *steps: Scripted) -> None:
        """Adds what to do with the next requests; without, it answers."""
        self._script += steps

    async def start(self, port: int = 0) -> Self:
        app = web.Application()
        app.router.add_post("/v1/messages", self._messages)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if request.headers.get("authorization") in (None, "", "Bearer ", "Bearer wrong"):
            return _error(Failure(401, "authentication_error"))
        if problem := _refusal(request.headers.get("anthropic-version"), body):
            return _error(Failure(400, "invalid_request_error", message=problem))
        self.requests.append(body)
        step = self._script.pop(0) if self._script else Answer()
        if isinstance(step, Failure):
            return _error(step)
        if isinstance(step, Reset):
            _abort(request)
            return web.Response()
        usage = self._prompt_usage(body)
        self.usages.append(usage)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self._stream(request, response, step, body, usage)
        except ConnectionError:
            pass  # The client went away, which is a way to end, too.
        return response

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        step: Answer,
        body: dict[str, Any],
        usage: dict[str, Any],
    ) -> None:
        for count, event in enumerate(_events(step, body, usage)):
            if count == step.cut_after_events:
                return
            if count == step.reset_after_events:
                _abort(request)
                return
            if count == step.malformed_after_events:
                await response.write(b"event: content_block_delta\ndata: {not json\n\n")
                return
            if count == step.error_after_events:
                failure = {"type": "overloaded_error", "message": "Overloaded"}
                await _send(response, {"type": "error", "error": failure})
                return
            if count == 1:
                await self._wait(response, step.first_token_after_s)
            await _send(response, event)
            if event["type"] == "message_delta":
                usage["output_tokens"] = event["usage"]["output_tokens"]
        await response.write_eof()

    async def _wait(self, response: web.StreamResponse, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0:
            await _send(response, {"type": "ping"})
            await asyncio.sleep(min(0.2, left))

    def _prompt_usage(self, body: dict[str, Any]) -> dict[str, Any]:
        """Tokens of the prompt by cache class; prefixes end at breakpoints, in the API's order."""
        parts = [*body.get("tools", ()), *_list(body.get("system", ()))]
        parts += [block for message in body["messages"] for block in _list(message["content"])]
        text, read, written = "", 0, 0
        for part in parts:
            text += json.dumps({k: v for k, v in part.items() if k != "cache_control"})
            tokens = len(text) // _BYTES_PER_TOKEN
            if part.get("cache_control") and tokens >= self._cache_minimum_tokens:
                if f"{body['model']} {text}" in self._cached:
                    read, written = tokens, 0
                else:
                    self._cached.add(f"{body['model']} {text}")
                    written = tokens - read
        return {
            "input_tokens": len(text) // _BYTES_PER_TOKEN - read - written,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": written,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": 1,
            "service_tier": "standard",
        }


def _refusal(version: str | None, body: dict[str, Any]) -> str:
    """What API version 2026-10-21 does not accept; "" when the request is fine."""
    if version != "2026-10-21":
        return f"anthropic-version: {version} is not spoken here"
    for parameter in ("temperature", "top_p", "top_k"):
        if parameter in body:
            return f"{parameter}: Extra inputs are not permitted"
    for message in body["messages"]:
        for block in _list(message["content"]):
            if message["role"] == "assistant" and block["type"] == "document":
                return "messages: document blocks are for the user"
            if block["type"] == "text" and (not block["text"].strip() or block.get("citations")):
                return "messages: text blocks must be non-empty and carry no citations"
    breakpoints = str([body.get("tools"), body.get("system"), body["messages"]])
    if breakpoints.count("cache_control") > 4:
        return "A maximum of 4 blocks with cache_control may be provided"
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
    blocks = [block for message in body["messages"] for block in _list(message["content"])]
    return [block for block in blocks if block["type"] == "document"]


def _list(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())


def _error(failure: Failure) -> web.Response:
    body = {"type": "error", "error": {"type": failure.kind, "message": failure.message}}
    return web.json_response(body, status=failure.status, headers=failure.headers)


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _serve(port: int) -> None:
    server = await FakeAnthropic().start(port)
    print(server.url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args().port))
