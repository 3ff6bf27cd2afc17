"""A scripted gateway for the widget: its HTTP and SSE, with connections that break on cue.

It stands in for the network between widget and gateway, which the real gateway can't break at a
chosen byte. The real one answers the widget in `tests/e2e`.
"""

import asyncio
import json
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

CONVERSATION_ID = "0192f000-0000-7000-8000-000000000001"
TOKEN = "visitor-token"
_ROUNDS_OF_ACCEPTING = 10  # CPython 3.11 takes four from accept() to the callback
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "authorization, content-type, idempotency-key, last-event-id",
    "Access-Control-Expose-Headers": "Retry-After",
}


@dataclass
class Turn:
    """What happens after one question.

    `cuts` breaks the first connection after so many events, the next after so many more, … with
    half an event already on the wire. `refuse` answers with a problem instead. `hold` waits
    before the end until the visitor stops the answer. `silent` is a person's turn.
    """

    pieces: list[str] = field(default_factory=list)
    citations: list[dict[str, Any]] = field(default_factory=list)
    outcome: str = "answered"
    reason: str = ""
    fail: bool = False
    cuts: list[int] = field(default_factory=list)
    refuse: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    hold: bool = False
    silent: bool = False
    pause_s: float = 0.0


@dataclass
class _Event:
    name: str
    data: dict[str, Any]
    id: str

    def wire(self) -> bytes:
        return f"event: {self.name}\nid: {self.id}\ndata: {json.dumps(self.data)}\n\n".encode()


class WidgetGateway:
    """Serves on a free port of 127.0.0.1 inside `async with`; `turns` are taken one a question."""

    def __init__(self, static: dict[str, tuple[str, bytes, dict[str, str]]]) -> None:
        self.turns: deque[Turn] = deque()
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.agent = {
            "name": "Ada",
            "greeting": "Hello! I am an AI assistant.",
            "suggested_questions": ["How do I reset it?"],
        }
        self.status = "open"
        self.messages: list[dict[str, Any]] = []
        self._static = static
        self._events: list[_Event] = []
        self._cuts: deque[int] = deque()
        self._by_key: dict[str, str] = {}
        self._news = asyncio.Event()
        self._canceled = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        # A connection that was just accepted reaches `_connected` some rounds of the loop later,
        # also after the server was closed.
        for _round in range(_ROUNDS_OF_ACCEPTING):
            await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # the round in which the aborted let go of their sockets

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def asked(self, method: str, ending: str) -> list[tuple[dict[str, str], Any]]:
        """Headers and bodies of the requests with that method and end of path."""
        return [
            (headers, body)
            for made, path, headers, body in self.requests
            if made == method and path.endswith(ending)
        ]

    def person_replies(self, text: str) -> None:
        """A person takes over and writes."""
        self.status = "taken_over"
        self._add("status", {"status": "taken_over"}, f"status-{len(self._events)}:1")
        message = self._message("person", text)
        self._add("message.posted", {"message": message}, f"{message['message_id']}:1")

    def _message(self, role: str, text: str) -> dict[str, Any]:
        message = {"message_id": f"m{len(self.messages) + 1}", "role": role, "text": text}
        message |= {"status": "completed", "create_time": "2026-01-01T00:00:00Z"}
        self.messages.append(message)
        return message

    def _add(self, name: str, data: dict[str, Any], event_id: str) -> None:
        self._events.append(_Event(name, data, event_id))
        self._news.set()
        self._news = asyncio.Event()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: its task would be unknown here, and so not ended, until its first step.
        self._writers.add(writer)
        self._start(self._converse(reader, writer))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._writers.discard(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        path, query = urlsplit(target).path, urlsplit(target).query
        body = json.loads(raw) if raw else None
        if method == "OPTIONS":
            await self._answer(writer, 204, b"", {})
            return
        self.requests.append((method, path, headers, body))
        if path in self._static:
            kind, content, more = self._static[path]
            await self._answer(writer, 200, content, {"Content-Type": kind, **more})
            return
        await self._api(writer, method, path, query, headers, body)

    async def _api(
        self,
        writer: asyncio.StreamWriter,
        method: str,
        path: str,
        query: str,
        headers: dict[str, str],
        body: Any,
    ) -> None:
        base = f"/v1/conversations/{CONVERSATION_ID}"
        match method, path.removeprefix(base):
            case "GET", agent if agent.endswith("/public") and "authorization" in headers:
                # A visitor's token is no way in here, as it may be out of date.
                await self._json(writer, 403, {"title": "Forbidden", "status": 403})
            case "GET", agent if agent.endswith("/public"):
                await self._json(writer, 200, self.agent)
            case "POST", "/v1/conversations":
                ticket = {"conversation_id": CONVERSATION_ID, "visitor_token": TOKEN}
                await self._json(writer, 201, ticket)
            case "GET", "" if headers.get("authorization") == f"Bearer {TOKEN}":
                conversation = {"conversation_id": CONVERSATION_ID, "status": self.status}
                detail = {"conversation": conversation, "messages": self.messages}
                await self._json(writer, 200, {**detail, "position": len(self._events)})
            case "POST", "/messages":
                await self._ask(writer, headers["idempotency-key"], body["text"])
            case "GET", "/events":
                after = parse_qs(query).get("after", [""])[0]
                await self._stream(writer, self._after(headers.get("last-event-id", after)), "")
            case "POST", "/cancel":
                self._canceled.set()
                await self._json(writer, 200, {"message_id": None})
            case "POST", "/handoff":
                self.status = "waiting"
                await self._json(writer, 200, {"status": "waiting"})
            case "POST", "/rating":
                await self._json(writer, 200, {})
            case _:
                await self._json(writer, 404, {"title": "Not Found", "status": 404})

    async def _ask(self, writer: asyncio.StreamWriter, key: str, text: str) -> None:
        if key not in self._by_key:
            turn = self.turns[0] if self.turns else Turn(["Yes."])
            if turn.refuse:
                status, problem = turn.refuse.pop(0)
                await self._json(writer, status, problem)
                return
            if self.turns:
                self.turns.popleft()
            # The answer's id; while a person answers there is only the question.
            number = len(self.messages) + (1 if turn.silent else 2)
            self._by_key[key] = f"m{number}"
            self._cuts = deque(turn.cuts)
            self._start(self._run(turn, text))
        await self._stream(writer, 0, self._by_key[key])

    async def _run(self, turn: Turn, text: str) -> None:
        question = self._message("visitor", text)
        self._add("message.posted", {"message": question}, f"{question['message_id']}:1")
        if turn.silent:
            return
        self._canceled.clear()
        answer = self._message("agent", "")
        answer["status"] = "answering"
        number = 0

        def add(name: str, data: dict[str, Any]) -> None:
            nonlocal number
            number += 1
            self._add(name, data, f"{answer['message_id']}:{number}")

        add("message.started", {"message_id": answer["message_id"]})
        for piece in turn.pieces:
            await asyncio.sleep(turn.pause_s)
            answer["text"] += piece
            add("message.delta", {"text": piece})
        if turn.hold:
            await self._canceled.wait()
        if turn.fail:
            answer["status"] = "failed"
            add("error", {"title": "Bad Gateway", "status": 502, "detail": "the model is away"})
            return
        if turn.citations:
            answer["citations"] = turn.citations
            add("message.citations", {"citations": turn.citations})
        if turn.outcome == "handoff":
            self.status = "waiting"
            add("handoff", {"reason": turn.reason})
        answer["status"] = "canceled" if turn.hold else "completed"
        answer["outcome"] = None if turn.hold else turn.outcome
        end = {"message_id": answer["message_id"], "confidence": 0.9, "tier": 1}
        end |= {"outcome": answer["outcome"], "status": answer["status"]}
        add("message.completed", {**end, "receipt": {"total_nanos": 1, "items": []}})

    def _after(self, last_event_id: str) -> int:
        if not last_event_id or last_event_id.isdigit():
            return int(last_event_id or 0)
        return 1 + next(i for i, event in enumerate(self._events) if event.id == last_event_id)

    async def _stream(self, writer: asyncio.StreamWriter, index: int, message_id: str) -> None:
        """Events from `index` on: those of one message to its end, or all without an end."""
        await self._head(writer, 200, {"Content-Type": "text/event-stream"})
        writer.write(b": hello\n\n")
        left = self._cuts.popleft() if self._cuts else None
        while not writer.is_closing():
            if index == len(self._events):
                await self._news.wait()
                continue
            event = self._events[index]
            index += 1
            if not event.id.startswith(f"{message_id}:" if message_id else ""):
                continue
            wire = event.wire()
            if left == 0:
                # Half an event, and gone: the widget must not use the half.
                writer.write(wire[: len(wire) // 2])
                await writer.drain()
                writer.transport.abort()
                return
            writer.write(wire[:7])
            await writer.drain()
            writer.write(wire[7:])
            await writer.drain()
            left = None if left is None else left - 1
            if message_id and event.name in ("message.completed", "message.posted", "error"):
                return

    async def _json(self, writer: asyncio.StreamWriter, status: int, body: Any) -> None:
        kind = "application/json" if status < 400 else "application/problem+json"
        await self._answer(writer, status, json.dumps(body).encode(), {"Content-Type": kind})

    async def _answer(
        self, writer: asyncio.StreamWriter, status: int, body: bytes, headers: dict[str, str]
    ) -> None:
        await self._head(writer, status, {**headers, "Content-Length": str(len(body))})
        writer.write(body)
        await writer.drain()

    async def _head(
        self, writer: asyncio.StreamWriter, status: int, headers: dict[str, str]
    ) -> None:
        lines = [f"HTTP/1.1 {status} X", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in {**_CORS, **headers}.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await writer.drain()
