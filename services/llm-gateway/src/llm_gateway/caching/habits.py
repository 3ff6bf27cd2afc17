"""What a tenant's traffic says of the time until a prefix is used again."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from llm_gateway.caching.plan import TTLS, Chances, Ttl
from llm_gateway.store.caching import Use

TTL_S: Mapping[Ttl, float] = {"5m": 300.0, "1h": 3600.0}
# A tenant of whom nothing is known counts as this many uses, at shares for which caching costs a
# little more than it saves: what was seen decides.
_PRIOR_USES = 2.0
_PRIOR: Mapping[Ttl, float] = {"5m": 0.2, "1h": 0.5}
# The window of a conversation stops growing at some length; from then on its beginning changes
# with each turn. Until that was seen, a history is taken to grow.
_PRIOR_GREW = 4.0
_MOST_CONVERSATIONS = 20_000
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Share:
    """How many of some uses were followed in time, by time to live."""

    uses: int
    followed: dict[Ttl, int]

    @classmethod
    def none(cls) -> "_Share":
        return cls(0, dict.fromkeys(TTLS, 0))

    def add(self, gap_s: float) -> None:
        self.uses += 1
        for ttl in TTLS:
            self.followed[ttl] += gap_s < TTL_S[ttl]

    def chances(self) -> dict[Ttl, float]:
        return {
            ttl: (self.followed[ttl] + _PRIOR_USES * _PRIOR[ttl]) / (self.uses + _PRIOR_USES)
            for ttl in TTLS
        }


def chances(uses: Sequence[Use], now: datetime) -> Chances:
    """From an agent's latest requests to one model, in order of time.

    The stable prefix is used again by the next request of any conversation, a history by the next
    one of its own. A last use counts as not followed once it is an hour old; until then it says
    nothing.
    """
    stable, history = _Share.none(), _Share.none()
    _add(stable, [use.create_time for use in uses], now)
    by_conversation: dict[UUID, list[datetime]] = {}
    for use in uses:
        if use.conversation_id is not None:
            by_conversation.setdefault(use.conversation_id, []).append(use.create_time)
    for times in by_conversation.values():
        _add(history, times, now)
    return Chances(stable.chances(), history.chances())


def _add(share: _Share, times: Sequence[datetime], now: datetime) -> None:
    for before, after in pairwise(times):
        share.add((after - before).total_seconds())
    if times and (since_s := (now - times[-1]).total_seconds()) >= TTL_S["1h"]:
        share.add(since_s)


@dataclass(slots=True)
class _Last:
    """A conversation's last history, and the last one of it that was marked and until when."""

    turns: int
    digest: int
    marked: int = 0
    until: datetime = _NEVER


class Growth:
    """Whether histories of a length go on growing, or begin anew: learnt from what is sent.

    And what of each conversation's is in the provider's cache.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[UUID, _Last] = OrderedDict()
        self._grew: dict[int, float] = {}
        self._seen: dict[int, float] = {}

    def share(self, turns: int) -> float:
        """The share of histories of so many turns that the next request began with, 0–1."""
        seen = self._seen.get(turns, 0.0) + _PRIOR_GREW
        return (self._grew.get(turns, 0.0) + _PRIOR_GREW) / seen

    def note(self, conversation_id: UUID, turns: Iterable[object], now: datetime) -> int:
        """Compares a conversation's history with the one that it was asked with before.

        Returns how many of its first turns are in the cache.
        """
        row = [hash(turn) for turn in turns]
        last = self._last.setdefault(conversation_id, _Last(len(row), hash(tuple(row))))
        self._last.move_to_end(conversation_id)
        if len(self._last) > _MOST_CONVERSATIONS:
            self._last.popitem(last=False)
        grew = len(row) >= last.turns and hash(tuple(row[: last.turns])) == last.digest
        # The same again is another attempt at the same answer.
        if not grew or len(row) > last.turns:
            # After 34 more, half of what was seen counts: settings change.
            self._seen[last.turns] = self._seen.get(last.turns, 0.0) * 0.98 + 1
            self._grew[last.turns] = self._grew.get(last.turns, 0.0) * 0.98 + grew
            last.turns, last.digest = len(row), hash(tuple(row))
        if not grew:
            last.marked = 0
        return last.marked if now < last.until else 0

    def marked(self, conversation_id: UUID, ttl: Ttl, now: datetime) -> None:
        """Notes that the history just noted is marked."""
        last = self._last[conversation_id]
        last.marked, last.until = last.turns, now + timedelta(seconds=TTL_S[ttl])
