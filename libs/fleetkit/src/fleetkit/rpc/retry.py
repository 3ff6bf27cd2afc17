"""Retries of idempotent calls."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

from fleetkit import context
from fleetkit.errors import Unavailable

_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 1.0
_TOTAL_S = 45.0

T = TypeVar("T")


async def retry_idempotent(call: Callable[[], Awaitable[T]], attempts: int = 3) -> T:
    """The result of `call`, tried again with jitter while it raises Unavailable.

    Only for calls that are safe to repeat. Waits as long as the error's `retry_after_s` asks
    when the deadline of the work at hand allows it; raises the last error.
    """
    # Most calls go well at once, and what counts retries costs more than many of them.
    try:
        return await call()
    except Unavailable as error:
        wait_s = _wait_of(error)
        if wait_s is False or attempts < 2:
            raise
    spread = 1 + random.random()  # noqa: S311 - jitter
    await asyncio.sleep(_FIRST_WAIT_S * spread if wait_s is True else wait_s)
    remaining = context.remaining_s()
    retrying = stamina.retry_context(
        on=_wait_of,
        attempts=attempts - 1,
        timeout=_TOTAL_S if remaining is None else remaining,
        wait_initial=2 * _FIRST_WAIT_S,
        wait_jitter=_FIRST_WAIT_S,
        wait_max=_LONGEST_WAIT_S,
    )
    async for attempt in retrying:
        with attempt:
            return await call()
    raise AssertionError("stamina returns or raises")


def _wait_of(error: Exception) -> bool | float:
    """Whether to try again, or after how many seconds; not when there is no time to wait."""
    if not isinstance(error, Unavailable):
        return False
    wait_s = error.retry_after_s
    if wait_s is None:
        return True
    remaining = context.remaining_s()
    return wait_s if remaining is None or wait_s < remaining else False
