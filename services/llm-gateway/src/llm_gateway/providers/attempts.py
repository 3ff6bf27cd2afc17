"""Opening an answer's stream at a provider: tried again where nothing can have been billed."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina
from fleetkit.errors import DeadlineExceeded, FleetError, Unavailable
from fleetkit.logging import get_logger

from llm_gateway.entries import Meter

T = TypeVar("T")

_ATTEMPTS = 3
_FIRST_WAIT_S = 0.2
_COUNT_S = 2.0


async def opened(open_once: Callable[[], Awaitable[T]], meter: Meter, until: float) -> T:
    """What `open_once` gives, after up to three attempts that end at `until` (monotonic seconds).

    `open_once` raises our errors, and leaves `meter.begun` True only when what it sent may be
    billed although it failed: then it is not tried again.
    """

    def may_try_again(error: Exception) -> bool:
        return isinstance(error, Unavailable) and not meter.begun

    # Most go well at once, and what counts retries costs more than all else here.
    try:
        return await open_once()
    except Unavailable as error:
        wait_s = _FIRST_WAIT_S * (1 + random.random())  # noqa: S311 - jitter
        if not may_try_again(error) or time.monotonic() + wait_s >= until:
            raise
    await asyncio.sleep(wait_s)
    retrying = stamina.retry_context(
        on=may_try_again,
        attempts=_ATTEMPTS - 1,
        timeout=max(0.0, until - time.monotonic()),
        wait_initial=2 * _FIRST_WAIT_S,
        # Enough to spread callers; the library's second would be felt by who waits.
        wait_jitter=_FIRST_WAIT_S,
    )
    async for attempt in retrying:
        with attempt:
            return await open_once()
    raise AssertionError("stamina returns or raises")


async def counted_in_time(
    counted: Callable[[], Awaitable[int]], api_error: type[Exception], model: str
) -> int | None:
    """A provider's count of tokens; None, told in the log, when it fails or takes too long."""
    try:
        async with asyncio.timeout(_COUNT_S):
            tokens = await counted()
    except (api_error, TimeoutError) as error:
        get_logger().warning("tokens_not_counted", model=model, error=type(error).__name__)
        return None
    # The SDKs build their objects without checking what came.
    return tokens if isinstance(tokens, int) else None


def broken_off(reason: str) -> FleetError:
    """Unavailable: a stream ended before its end."""
    return Unavailable("the model's answer broke off", reason=reason, retry_after_s=1.0)


def first_token_late() -> FleetError:
    """DeadlineExceeded: no first token in time."""
    return DeadlineExceeded("the model did not begin in time", reason="FIRST_TOKEN_TIMEOUT")
