"""The decision: which prefixes of a prompt to mark, and for how long they shall live.

A token that a later request could read costs 1 each time without caching. Marked with a time to
live t, it costs the read price r when the prefix was used within t, and the write price w(t) when
not. With the chance q(t) that a prefix is used again within t, a use costs

    q(t) · r + (1 - q(t)) · w(t)        against 1,

so five minutes pay from q = 0.22 on and an hour from q = 0.53 (w 1.25 and 2, r 0.1). Of all ways to
mark a prompt the cheapest is taken; marking nothing is one of them, so nothing is ever cached at an
expected loss.

Without a breakpoint nothing is read either. So a history of which most is in the cache is marked
also when it will not be used again: before its window moves, for example.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Ttl = Literal["5m", "1h"]
TTLS: tuple[Ttl, ...] = ("5m", "1h")


@dataclass(frozen=True, slots=True)
class Marks:
    """Breakpoints: after the stable prefix (tools, system) and after the history; None is none."""

    stable: Ttl | None = None
    history: Ttl | None = None


NO_MARKS = Marks()
# An hour stands before five minutes, never behind: the provider refuses it.
_ALLOWED = (
    NO_MARKS,
    Marks("5m"),
    Marks("1h"),
    Marks(None, "5m"),
    Marks(None, "1h"),
    Marks("5m", "5m"),
    Marks("1h", "5m"),
    Marks("1h", "1h"),
)


@dataclass(frozen=True, slots=True)
class CachePrices:
    """Prices of a token of a prompt, in any one unit."""

    uncached: float
    read: float
    write: Mapping[Ttl, float]


@dataclass(frozen=True, slots=True)
class Chances:
    """How likely a prefix is used again within each time to live, 0–1."""

    stable: Mapping[Ttl, float]
    history: Mapping[Ttl, float]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tokens of the stable prefix, of the history behind it, and the shortest that is cached.

    `kept` of the history's are in the cache already.
    """

    stable: int
    history: int
    minimum: int
    kept: int = 0


def best_marks(sizes: Sizes, chances: Chances, prices: CachePrices) -> Marks:
    """The cheapest way to mark a prompt; the plainest of those that cost the same."""
    possible = (marks for marks in _ALLOWED if _reaches_minimum(marks, sizes))
    best = min(possible, key=lambda marks: expected_cost(marks, sizes, chances, prices))
    if best.history is None and _reading_pays(sizes, prices):
        return Marks(best.stable, "5m")
    return best


def expected_cost(marks: Marks, sizes: Sizes, chances: Chances, prices: CachePrices) -> float:
    """What the prefix costs on average, each time that it is sent."""
    history = _cost(marks.history, chances.history, prices)
    # Without a breakpoint of its own the stable prefix is kept with the history, if at all.
    stable = _cost(marks.stable, chances.stable, prices) if marks.stable else history
    return sizes.stable * stable + sizes.history * history


def _reading_pays(sizes: Sizes, prices: CachePrices) -> bool:
    """Whether a history costs less when it is marked, though it is never used again."""
    written = sizes.history - sizes.kept
    marked = sizes.kept * prices.read + written * prices.write["5m"]
    return sizes.kept > 0 and marked < sizes.history * prices.uncached


def _cost(ttl: Ttl | None, chance: Mapping[Ttl, float], prices: CachePrices) -> float:
    if ttl is None:
        return prices.uncached
    return chance[ttl] * prices.read + (1 - chance[ttl]) * prices.write[ttl]


def _reaches_minimum(marks: Marks, sizes: Sizes) -> bool:
    if marks.stable and sizes.stable < sizes.minimum:
        return False
    return not marks.history or (
        sizes.history > 0 and sizes.stable + sizes.history >= sizes.minimum
    )
