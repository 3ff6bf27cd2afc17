"""Bounded waiting: a test never sleeps for a fixed time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(check: Callable[[], Awaitable[T]], *, timeout_s: float = 10.0) -> T:
    """Calls `check` until its result is true, and returns that; AssertionError in the end."""
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    while not (result := await check()):
        assert loop.time() < until, f"it did not come true in {timeout_s} s"
        await asyncio.sleep(0.02)
    return result
