"""Fakes that answer with JSON, and on demand refuse, are slow or answer nonsense."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web
from fakes.faults import Failure, Reset, reset


@dataclass(frozen=True, slots=True)
class Malformed:
    """An answer with status 200 that is not what the API says."""

    body: str = "{not json"


@dataclass(frozen=True, slots=True)
class Slow:
    """The answer, after so many seconds."""

    seconds: float


Step = Failure | Malformed | Slow | Reset
# Answers a request that is to be answered, from its JSON body; an int is an error's status.
Answer = Callable[[web.Request, dict[str, Any]], dict[str, Any] | list[Any] | int]


class ScriptedServer:
    """Answers POSTs by `routes`, others by "GET /path"; the script's steps come first.

    `errors` makes the provider's error body of a status. `requests` has the bodies it was sent,
    `keys` by which keys.
    """

    def __init__(
        self, routes: Mapping[str, Answer], errors: Callable[[int], dict[str, Any]]
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.url = ""
        self._routes = routes
        self._errors = errors
        self._script: list[Step] = []
        self._runner: web.AppRunner | None = None

    def script(self, *steps: Step) -> None:
        """Adds what to do with the next requests."""
        self._script += steps

    async def start(self, port: int = 0) -> Self:
        app = web.Application()
        for route, answer in self._routes.items():
            method, _, path = route.rpartition(" ")
            app.router.add_route(method or "POST", path, self._handler(answer))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _handler(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.json() if request.can_read_body else {}
            self.requests.append(body)
            self.keys.append(key_of(request))
            step = self._script.pop(0) if self._script else None
            match step:
                case Failure():
                    return self._error(step.status, step.headers)
                case Malformed():
                    return web.Response(text=step.body, content_type="application/json")
                case Reset():
                    return reset(request)
                case Slow():
                    await asyncio.sleep(step.seconds)
                case None:
                    pass
            found = answer(request, body)
            return self._error(found, {}) if isinstance(found, int) else web.json_response(found)

        return handle

    def _error(self, status: int, headers: dict[str, str]) -> web.Response:
        return web.json_response(self._errors(status), status=status, headers=headers)


def key_of(request: web.Request) -> str:
    """The key that a request was made by."""
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def takes(request: web.Request) -> bool:
    """Whether its key is one: they begin with "right"."""
    return key_of(request).startswith("right")


def relevance(query: str, document: str) -> float:
    """The share of the query's words that the document has."""
    asked = set(query.lower().split())
    return round(len(asked & set(document.lower().split())) / max(len(asked), 1), 4)
