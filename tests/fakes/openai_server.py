"""A server that speaks OpenAI's chat completions, as the SDK expects them of it and its likes.

It answers from the documents of the request (the first sentence of each, quoted), caches prefixes
by itself, reports usage as the real one does (`prompt_tokens` with what the cache served), and
fails by script: `server.script(Failure(503, "server_error"), Answer("…"))`.

Standalone: `PYTHONPATH=tests python -m fakes.openai_server --port 8091`.
"""

import argparse
import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Self

from aiohttp import web
from fakes.faults import Failure, Oddities, Reset, Script, StreamFaults, play, reset

_BYTES_PER_TOKEN = 4
_CACHE_MINIMUM_TOKENS = 1024
_CACHE_STEP_TOKENS = 128
_IMAGE_TOKENS = 300
_DAY_S = 86_400
_OF_FUNCTION = ("name", "description", "parameters")
_DOCUMENT = re.compile(r"Document (\d+): [^\n]*\n<document>\n(.*?)\n</document>", re.DOTALL)
_SENTENCE = re.compile(r"(?:^|\n)([A-Z][^\n]*?[.!?])(?=\s|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(StreamFaults):
    """An answer; by default it repeats and quotes the first sentence of each document."""

    text: str | None = None
    finish_reason: str = "stop"
    hand_over: str = ""
    tells_usage: bool = True


Scripted = Answer | Failure | Reset


class FakeOpenAi:
    """The server; `requests`, `keys` and `usages` have those of each call that it took.

    `counted` has the bodies whose tokens it counted, unless `count_fails`; `billed` when it
    reported which usage for which model.
    """

    def __init__(self, *, cache_writes: bool = False) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.usages: list[dict[str, Any]] = []
        self.billed: list[tuple[datetime, str, dict[str, Any]]] = []
        self.counted: list[dict[str, Any]] = []
        self.count_fails = False
        self.url = ""
        self._script: Script[Scripted] = Script(Answer())
        self._cache_writes = cache_writes
        self._cached: list[str] = []
        self._runner: web.AppRunner | None = None

    def script(self, *steps: Scripted) -> None:
        """Adds what to do with the next requests; without, it answers."""
        self._script.add(*steps)

    async def start(self, port: int = 0) -> Self:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._completions)
        app.router.add_post("/v1/responses/input_tokens", self._count)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/organization/usage/completions", self._report)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        """The models, which shows whether a key is one."""
        if request.headers.get("authorization", "").removeprefix("Bearer ") in ("", "wrong"):
            return _error(Failure(401, "invalid_api_key"))
        return web.json_response({"object": "list", "data": []})

    async def _report(self, request: web.Request) -> web.Response:
        """The organisation's usage of completions, a day a page, whatever key it was by."""
        if not request.headers.get("authorization", "").startswith("Bearer sk-admin"):
            return _error(Failure(401, "invalid_api_key"))
        start, end = int(request.query["start_time"]), int(request.query["end_time"])
        days = list(range(start, end, _DAY_S))
        day = days[int(request.query.get("page") or 0)]
        results = [
            _reported(model, usage)
            for time, model, usage in self.billed
            if day <= time.timestamp() < day + _DAY_S
        ]
        bucket = {"object": "bucket", "start_time": day, "end_time": day + _DAY_S}
        more = day < days[-1]
        return web.json_response(
            {
                "object": "page",
                "data": [{**bucket, "results": results}],
                "has_more": more,
                "next_page": str(days.index(day) + 1) if more else None,
            }
        )

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if key in ("", "wrong"):
            return _error(Failure(401, "invalid_api_key"))
        if problem := _refusal(body):
            return _error(Failure(400, "invalid_request_error", message=problem))
        self.requests.append(body)
        self.keys.append(key)
        step = self._script.take()
        if isinstance(step, Failure):
            return _error(step)
        if isinstance(step, Reset):
            return reset(request)
        text = _answer(body) if step.text is None else step.text
        usage = self._usage(body, "" if step.hand_over else text)
        self.usages.append(usage)
        self.billed.append((datetime.now(UTC), body["model"], usage))
        if not body.get("stream"):
            return web.json_response(_completion(body, step, text, usage))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        tells_usage = step.tells_usage and (body.get("stream_options") or {}).get("include_usage")
        events = _events(body, step, text, usage if tells_usage else None)
        await play(request, response, events, step, _ODDITIES)
        return response

    async def _count(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.count_fails:
            return _error(Failure(503, "server_error"))
        self.counted.append(body)
        system = {"role": "system", "content": body.get("instructions", "")}
        tools = [
            {"type": "function", "function": {k: v for k, v in tool.items() if k in _OF_FUNCTION}}
            for tool in body.get("tools", ())
        ]
        chat = {
            "model": body["model"],
            "messages": [system, *body["input"]],
            "tools": tools or None,
        }
        tokens = len(_prompt(chat)) // _BYTES_PER_TOKEN
        return web.json_response({"object": "response.input_tokens", "input_tokens": tokens})

    def _usage(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        prompt = _prompt(body)
        images = _IMAGE_TOKENS * json.dumps(body["messages"]).count('"image_url": {')
        tokens = len(prompt) // _BYTES_PER_TOKEN + images
        common = max((_common(prompt, other) for other in self._cached), default=0)
        read = common // _BYTES_PER_TOKEN // _CACHE_STEP_TOKENS * _CACHE_STEP_TOKENS
        read = read if read >= _CACHE_MINIMUM_TOKENS else 0
        self._cached.append(prompt)
        details: dict[str, Any] = {"cached_tokens": read, "audio_tokens": 0}
        if self._cache_writes:
            details["cache_write_tokens"] = max(0, tokens - images - read)
        if images:
            details["image_tokens"] = images
        output = max(1, len(text) // _BYTES_PER_TOKEN)
        return {
            "prompt_tokens": tokens,
            "completion_tokens": output,
            "total_tokens": tokens + output,
            "prompt_tokens_details": details,
        }


def _prompt(body: dict[str, Any]) -> str:
    return json.dumps([body["model"], body.get("tools"), *map(_words, body["messages"])])


def _sse(event: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()


_ODDITIES = Oddities(
    ping=b": keep-alive\n\n",
    malformed=b"data: {not json\n\n",
    error=_sse({"error": {"message": "scripted", "type": "server_error", "code": None}}),
)


def _events(
    body: dict[str, Any], step: Answer, text: str, usage: dict[str, Any] | None
) -> Iterator[bytes]:
    chunk = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1}
    chunk["model"] = body["model"]

    def said(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return _sse({**chunk, "choices": [choice]})

    yield said({"role": "assistant", "content": ""})
    if step.hand_over:
        yield said({"tool_calls": [{"index": 0, **_tool_call(step.hand_over)}]})
    else:
        # Pieces of 7 characters: neither words nor marks arrive whole.
        yield from (said({"content": text[at : at + 7]}) for at in range(0, len(text), 7))
    yield said({}, "tool_calls" if step.hand_over else step.finish_reason)
    if usage is not None:
        yield _sse({**chunk, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _reported(model: str, usage: dict[str, Any]) -> dict[str, Any]:
    details = usage["prompt_tokens_details"]
    return {
        "object": "organization.usage.completions.result",
        "model": f"{model}-2026-09-22",
        "num_model_requests": 1,
        "input_tokens": usage["prompt_tokens"],
        "input_cached_tokens": details["cached_tokens"],
        "input_cache_write_tokens": details.get("cache_write_tokens"),
        "input_image_tokens": details.get("image_tokens"),
        "output_tokens": usage["completion_tokens"],
        "project_id": None,
        "api_key_id": None,
    }


def _completion(
    body: dict[str, Any], step: Answer, text: str, usage: dict[str, Any]
) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": step.finish_reason}
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [choice],
        "usage": usage,
    }


def _tool_call(reason: str) -> dict[str, Any]:
    arguments = json.dumps({"reason": reason})
    function = {"name": "hand_over", "arguments": arguments}
    return {"id": "call_fake", "type": "function", "function": function}


def _refusal(body: dict[str, Any]) -> str:
    """What the endpoint does not accept; "" when the request is fine."""
    if "max_tokens" in body and body["model"].startswith("gpt-6"):
        return "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    if "temperature" in body and body.get("reasoning_effort", "none") != "none":
        return "Unsupported parameter: 'temperature'"
    roles = [message["role"] for message in body["messages"]]
    if roles[-1] != "user" or any(one == two for one, two in pairwise(roles)):
        return "messages: roles must alternate and end with user"
    return ""


def _answer(body: dict[str, Any]) -> str:
    asked = _words(body["messages"][-1])
    documents = [(number, _SENTENCE.search(text)) for number, text in _DOCUMENT.findall(asked)]
    sentences = [(number, found[1].strip()) for number, found in documents if found]
    return " ".join(f"{text} [[{number}|{text}]]" for number, text in sentences) or "I see."


def _words(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


def _common(one: str, two: str) -> int:
    for at, (a, b) in enumerate(zip(one, two, strict=False)):
        if a != b:
            return at
    return min(len(one), len(two))


def _error(failure: Failure) -> web.Response:
    body = {"error": {"message": failure.message, "type": failure.kind, "code": failure.kind}}
    return web.json_response(body, status=failure.status, headers=failure.headers)


async def _serve(port: int) -> None:
    server = await FakeOpenAi().start(port)
    print(server.url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args().port))
