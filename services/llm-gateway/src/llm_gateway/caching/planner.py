"""Plans the caching of each prompt by what is known of its tenant, its model and its length."""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from fleetkit import context
from fleetkit.clock import Clock
from fleetkit.postgres import Database

from llm_gateway.caching.habits import Growth, chances
from llm_gateway.caching.plan import CachePrices, Chances, Sizes, Ttl, best_marks
from llm_gateway.prices import TenantPrices
from llm_gateway.pricing import Period, Unit
from llm_gateway.question import Question
from llm_gateway.store import caching as store

# Providers whose calls may use these take breakpoints; others cache by themselves or not at all.
_WRITES: Mapping[Ttl, Unit] = {"5m": Unit.CACHE_WRITE_5M, "1h": Unit.CACHE_WRITE_1H}
# English has about 4 bytes a token: until the provider has counted. A mark on a prefix that turns
# out too short costs nothing.
_BYTES_PER_TOKEN = 4
# What the provider's rules and tool add to the instructions.
_RULES_BYTES = 1_000
# An agent's traffic is looked at again after so long, and so many of its latest requests.
_FRESH_S = 60.0
_USES = 500
_MOST_AGENTS = 2_000

_Who = tuple[UUID, UUID, str]


@dataclass(frozen=True, slots=True)
class _Seen:
    chances: Chances
    until: float


class Planner:
    """Sets `marks` of questions; keeps what it has seen of agents for a minute.

    What it decides from is the ledger, which all replicas share; only how histories grow, and which
    of them are kept, is learnt by each process for itself.
    """

    def __init__(self, db: Database, clock: Clock, prices: TenantPrices) -> None:
        self._db = db
        self._clock = clock
        self._prices = prices
        self._seen: OrderedDict[_Who, _Seen] = OrderedDict()
        self._growth: OrderedDict[tuple[UUID, str], Growth] = OrderedDict()

    async def planned(
        self, tenant_id: UUID, model: str, kinds: Collection[Unit], question: Question
    ) -> Question:
        """The question with the breakpoints that its prompt shall have; `model` is its full name.

        `kinds` are those that a call to its provider may use. Without an agent to learn from there
        are no breakpoints.
        """
        work = context.current().attribution
        sizes = self._sizes(model, question)
        if sizes is None or work.agent_id is None or not {*_WRITES.values()} <= {*kinds}:
            return question
        growth, now = self._growth_of(tenant_id, model), self._clock.now()
        if work.conversation_id is not None:
            kept = growth.note(work.conversation_id, question.history, now)
            sizes = replace(sizes, kept=_history_tokens(question, kept))
        if sizes.stable + sizes.history < sizes.minimum:
            return question
        seen = await self._chances((tenant_id, work.agent_id, model))
        grows = growth.share(len(question.history))
        likely = replace(
            seen, history={ttl: chance * grows for ttl, chance in seen.history.items()}
        )
        held = await self._prices.holding(tenant_id, model, now, kinds)
        marks = best_marks(sizes, likely, _prices(held.period))
        if work.conversation_id is not None and marks.history is not None:
            growth.marked(work.conversation_id, marks.history, now)
        return replace(question, marks=marks)

    def _sizes(self, model: str, question: Question) -> Sizes | None:
        """What there is to be cached; None when the agent or the model has no caching."""
        minimum = self._prices.book.facts(model).cache_minimum_tokens
        if not question.prompt_caching or minimum is None:
            return None
        history = _history_tokens(question, len(question.history))
        return Sizes(_stable_tokens(question), history, minimum)

    async def _chances(self, who: _Who) -> Chances:
        seen = self._seen.get(who)
        if seen is None or seen.until <= self._clock.monotonic():
            tenant_id, agent_id, model = who
            async with self._db.tenant(tenant_id) as conn:
                uses = await store.recent_uses(conn, tenant_id, agent_id, model, _USES)
            seen = _Seen(chances(uses, self._clock.now()), self._clock.monotonic() + _FRESH_S)
            self._seen[who] = seen
        self._seen.move_to_end(who)
        if len(self._seen) > _MOST_AGENTS:
            self._seen.popitem(last=False)
        return seen.chances

    def _growth_of(self, tenant_id: UUID, model: str) -> Growth:
        growth = self._growth.setdefault((tenant_id, model), Growth())
        self._growth.move_to_end((tenant_id, model))
        if len(self._growth) > _MOST_AGENTS:
            self._growth.popitem(last=False)
        return growth


def _stable_bytes(question: Question) -> int:
    return len(question.instructions.encode()) + _RULES_BYTES


def _stable_tokens(question: Question) -> int:
    return question.prefix_tokens or _stable_bytes(question) // _BYTES_PER_TOKEN


def _history_tokens(question: Question, turns: int) -> int:
    """Of its first turns: people write in the language of the agent's instructions, as a rule."""
    size = sum(len(turn.text.encode()) for turn in question.history[:turns])
    return size * _stable_tokens(question) // _stable_bytes(question)


def _prices(period: Period) -> CachePrices:
    prices = period.tiers[0].prices
    return CachePrices(
        prices[Unit.INPUT],
        prices[Unit.CACHE_READ],
        {ttl: prices[unit] for ttl, unit in _WRITES.items()},
    )
