"""Faults by script, for every fake of a model provider: refusals, broken and slow streams.

A fake keeps a `Script` of what to do with the next requests and sends its events through
`play`, which breaks them as the step says.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from aiohttp import web

Step = TypeVar("Step")
_PING_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Failure:
    """An error instead of an answer; `kind` is the provider's own name of it."""

    status: int
    kind: str
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "scripted"


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset before any answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFaults:
    """What goes wrong with a stream; nothing by default. A provider's answer step extends it."""

    first_token_after_s: float = 0.0
    """Silence, but for pings where the provider has them, after the first event."""
    cut_after_events: int | None = None
    """The connection closes cleanly after so many events."""
    reset_after_events: int | None = None
    """The connection is reset after so many events."""
    malformed_after_events: int | None = None
    """An event that is not JSON comes after so many."""
    error_after_events: int | None = None
    """The provider's error event comes after so many."""
    hold_after_events: int | None = None
    """After so many events nothing comes until `held` is set."""
    held: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Oddities:
    """How a provider writes what is not part of an answer; `ping` is b"" where it has none."""

    ping: bytes
    malformed: bytes
    error: bytes


class Script(Generic[Step]):
    """What to do with the next requests, in order; then `otherwise`, again and again."""

    def __init__(self, otherwise: Step) -> None:
        self.otherwise = otherwise
        self._steps: list[Step] = []

    def add(self, *steps: Step) -> None:
        """Adds steps behind those there are."""
        self._steps += steps

    def take(self) -> Step:
        """The step of the request that has just come."""
        return self._steps.pop(0) if self._steps else self.otherwise


def rate_limited(retry_after_s: float) -> Failure:
    """429 with the time to come back."""
    return Failure(429, "rate_limit_error", {"retry-after": str(retry_after_s)})


def overloaded() -> Failure:
    """529, as Anthropic says that it is overloaded."""
    return Failure(529, "overloaded_error")


def failed() -> Failure:
    """500."""
    return Failure(500, "api_error")


def reset(request: web.Request) -> web.Response:
    """Resets the request's connection; the response is never sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def play(
    request: web.Request,
    response: web.StreamResponse,
    events: Iterable[bytes],
    faults: StreamFaults,
    oddities: Oddities,
) -> int:
    """Sends the events through a prepared response, broken as `faults` say.

    Returns how many were sent. A client that goes away ends it, too.
    """
    sent = 0
    try:
        for event in events:
            if sent == faults.cut_after_events:
                return sent
            if sent == faults.reset_after_events:
                reset(request)
                return sent
            if sent == faults.malformed_after_events:
                await response.write(oddities.malformed)
                return sent
            if sent == faults.error_after_events:
                await response.write(oddities.error)
                return sent
            if sent == faults.hold_after_events:
                await faults.held.wait()
            if sent == 1 and faults.first_token_after_s:
                await _wait(response, faults.first_token_after_s, oddities.ping)
            await response.write(event)
            sent += 1
        await response.write_eof()
    except ConnectionError:
        pass  # The client went away, which is a way to end.
    return sent


async def _wait(response: web.StreamResponse, seconds: float, ping: bytes) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0:
        if ping:
            await response.write(ping)
        await asyncio.sleep(min(_PING_EVERY_S, left))
