"""How often somebody may ask: counted in this process, in bounded memory."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import TTLCache
from fleetkit.errors import ResourceExhausted

_MAX_KEYS = 100_000
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` requests in any `window_s` seconds, more or less evenly."""

    name: str
    count: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of a limit: `remaining` requests now, all of them in `reset_s` seconds."""

    limit: Limit
    remaining: int
    reset_s: float

    def headers(self) -> list[tuple[bytes, bytes]]:
        """RateLimit-Policy and RateLimit, draft-ietf-httpapi-ratelimit-headers-10."""
        policy = f'"{self.limit.name}";q={self.limit.count};w={self.limit.window_s}'
        state = f'"{self.limit.name}";r={self.remaining};t={math.ceil(self.reset_s)}'
        return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]


class TooManyRequests(ResourceExhausted):
    """A limit is reached; `standing` says when to come back."""

    default_reason = "RATE_LIMITED"

    def __init__(self, standing: Standing, retry_after_s: float) -> None:
        count, window_s = standing.limit.count, standing.limit.window_s
        super().__init__(
            f"more than {count} requests in {window_s} s: wait {math.ceil(retry_after_s)} s",
            retry_after_s=retry_after_s,
        )
        self.standing = standing


class RateLimiter:
    """The generic cell rate algorithm: one number for each key, no timers, O(1).

    The number is when the key's bucket will be empty; a request fills it by window ÷ count
    seconds, and is refused when that would be more than a window ahead. The least recently used
    of too many keys are forgotten. Each replica counts for itself.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._empty_at: TTLCache[tuple[str, str], float] = TTLCache(
            _MAX_KEYS, _HOUR_S, timer=monotonic
        )

    def hit(self, limit: Limit, key: str) -> Standing:
        """Counts a request; raises TooManyRequests, and doesn't count it, over the limit."""
        now = self._monotonic()
        step_s = limit.window_s / limit.count
        empty_at = max(self._empty_at.get((limit.name, key), now), now)
        ahead_s = empty_at + step_s - now
        # Half a step of slack: sums of floats must not cost a request.
        over_s = ahead_s - limit.window_s - step_s / 2
        if over_s > 0:
            raise TooManyRequests(Standing(limit, 0, empty_at - now), ahead_s - limit.window_s)
        self._empty_at[limit.name, key] = empty_at + step_s
        remaining = int((limit.window_s - ahead_s) / step_s + 0.5)
        return Standing(limit, remaining, ahead_s)

    def check(self, limit: Limit, key: str) -> None:
        """Raises TooManyRequests when a hit would be refused; counts nothing."""
        now = self._monotonic()
        step_s = limit.window_s / limit.count
        ahead_s = max(self._empty_at.get((limit.name, key), now), now) + step_s - now
        if ahead_s - limit.window_s > step_s / 2:
            standing = Standing(limit, 0, ahead_s - step_s)
            raise TooManyRequests(standing, ahead_s - limit.window_s)
