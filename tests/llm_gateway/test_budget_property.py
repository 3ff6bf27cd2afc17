"""Whatever happens at once: a hard cap holds, and nothing is refused while there is room for it.

Room is what the limit leaves beside what is spent and what calls in flight have reserved. So the
method's slack is the reservations of calls in flight beyond what they will come to. A prompt is
reserved at a token a byte where there is room for that, and as its provider counts it where not.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
from fleetkit import context
from fleetkit.context import Attribution
from fleetkit.errors import ResourceExhausted
from harness.services import Running
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from llm_gateway import budgets, pricing
from llm_gateway.budgets import NewBudget
from llm_gateway.entries import Meter
from llm_gateway.ledger import Call, Ledger
from llm_gateway.pricing import Unit

SONNET = "anthropic/claude-sonnet-5-5"
TOKEN = 10_000
# As many tokens of a prompt cost as much as one of an answer; a byte more or less is four.
PROMPT_TOKENS, BYTES = 5, 4
# What a count of a prompt is taken for beyond itself, below fifty tokens.
MARGIN = 50
Fate = Literal["settled", "settled twice", "never began", "broke off", "crashed"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A turn: what it reserves, what of it it uses, in which conversation, how it ends.

    `prompt` is what its prompt comes to by its provider's count; it is reserved beside `reserves`.
    """

    reserves: int
    prompt: int
    uses: int
    conversation: int
    fate: Fate


@dataclass(slots=True)
class Held:
    """When a turn may have held how much, on the real clock; `reserved` once that is known."""

    planned: Planned
    begun: float
    ended: float = field(default=float("inf"))
    refused: bool = False
    reserved: int = 0

    @property
    def came_to(self) -> int:
        """What it comes to in the end."""
        match self.planned.fate:
            case "never began":
                return 0
            case "crashed" | "broke off":
                return self.reserved
            case _:
                return min(self.planned.uses, self.planned.reserves) + self.planned.prompt

    def most(self, start: float, end: float) -> int:
        """The most that it can have taken of the budget at some time in [start, end]."""
        if self.refused or self.begun > end:
            return 0
        if self.ended < start:
            return self.came_to
        return self.reserved or self.planned.reserves + BYTES * self.planned.prompt


turns = st.builds(
    Planned,
    reserves=st.integers(1, 40),
    prompt=st.sampled_from([0, *range(11, 20)]),
    uses=st.integers(1, 40),
    conversation=st.integers(0, 2),
    fate=st.sampled_from(["settled", "settled twice", "never began", "broke off", "crashed"]),
)


class Run:
    """One example: turns at once on two replicas, under a budget of the tenant and of each talk."""

    def __init__(self, running: Running, tenant_id: UUID) -> None:
        self.running = running
        self.tenant_id = tenant_id
        self.ledgers = [Ledger(running.db, running.rt.clock, pricing.load()) for _ in range(2)]
        self.conversations = [uuid4() for _ in range(3)]
        self.held: list[Held] = []

    async def define(self, level: str, tokens: int) -> None:
        new = NewBudget(level, None, "day", tokens * TOKEN, True)
        await budgets.create_budget(self.running.db, self.running.rt.clock, self.tenant_id, new)

    async def turn(self, number: int, planned: Planned) -> Held:
        """Reserves and ends a turn as planned; what was refused is noted with its time."""
        held = Held(planned, time.monotonic())
        self.held.append(held)
        ledger = self.ledgers[number % 2]
        try:
            call = await self.reserve(
                ledger, planned.reserves, planned.conversation, planned.prompt
            )
        except ResourceExhausted:
            held.refused, held.ended = True, time.monotonic()
            return held
        held.reserved = call.row.reserved_nanos // TOKEN
        used = {
            Unit.OUTPUT: min(planned.uses, planned.reserves),
            Unit.INPUT: planned.prompt * PROMPT_TOKENS,
        }
        match planned.fate:
            case "settled":
                await ledger.close_call(call, Meter(True, True, used))
            case "settled twice":
                again = [self.ledgers[0], self.ledgers[1]]
                await asyncio.gather(*(a.close_call(call, Meter(True, True, used)) for a in again))
            case "never began":
                await ledger.close_call(call, Meter(), "PROVIDER_OVERLOADED")
            case "broke off":
                await ledger.close_call(call, Meter(True), "PROVIDER_UNAVAILABLE")
            case "crashed":
                pass
        held.ended = time.monotonic()
        return held

    async def reserve(
        self, ledger: Ledger, tokens: int, conversation: int, prompt: int = 0
    ) -> Call:
        whose = Attribution("turn", conversation_id=self.conversations[conversation])
        at_most = {Unit.OUTPUT: tokens, Unit.INPUT: prompt * PROMPT_TOKENS * BYTES}

        async def count() -> int:
            return prompt * PROMPT_TOKENS - MARGIN

        with context.background(self.tenant_id, whose):
            return await ledger.open_call(
                self.tenant_id, "answer", SONNET, at_most, count=count if prompt else None
            )

    async def sweep(self) -> None:
        async with self.running.db.tenant(self.tenant_id) as conn:
            await conn.execute(
                "update usage_call set expire_time = now() - interval '1 s' where status = 'open'"
            )
        await asyncio.gather(*(ledger.sweep(self.tenant_id) for ledger in self.ledgers))

    def check_refusals(self, tenant_limit: int, talk_limit: int) -> None:
        """At some time while it was asked, a refused turn cannot have fitted."""
        for refused in (held for held in self.held if held.refused):
            others = [held for held in self.held if held is not refused]
            asked = refused.planned.reserves + refused.planned.prompt
            of_talk = [o for o in others if o.planned.conversation == refused.planned.conversation]
            most = [
                sum(o.most(refused.begun, refused.ended) for o in of) for of in (others, of_talk)
            ]
            assert most[0] + asked > tenant_limit or most[1] + asked > talk_limit

    async def windows(self) -> list[dict[str, Any]]:
        return await self.running.rows(
            "select w.*, b.limit_nanos, (select coalesce(sum(e.amount_nanos), 0)::bigint"
            "   from usage_entry e where e.tenant_id = b.tenant_id"
            "    and (b.level = 'tenant' or e.conversation_id = w.target_id)) as in_ledger"
            " from budget_window w join budget b using (budget_id) where b.tenant_id = %s"
            " order by w.window_id",
            self.tenant_id,
        )


@pytest.fixture
async def running(start: Callable[..., Any]) -> Running:
    return await start(embed_workers=0, anthropic_api_key="sk-unused", answer_model=SONNET)


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    # The service is the same for all examples; each has a tenant of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    planned=st.lists(turns, min_size=1, max_size=64),
    tenant_limit=st.integers(20, 600),
    talk_limit=st.integers(20, 300),
)
async def test_a_hard_cap_holds_and_refuses_nothing_that_fits(
    running: Running, planned: Sequence[Planned], tenant_limit: int, talk_limit: int
) -> None:
    run = Run(running, uuid4())
    await run.define("tenant", tenant_limit)
    await run.define("conversation", talk_limit)
    await asyncio.gather(*(run.turn(number, each) for number, each in enumerate(planned)))
    run.check_refusals(tenant_limit, talk_limit)
    for window in await run.windows():
        assert window["spent_nanos"] + window["reserved_nanos"] <= window["limit_nanos"]
    await run.sweep()
    counted = await run.windows()
    for window in counted:
        # Each token once, whatever was done twice; nothing is reserved any more.
        assert window["spent_nanos"] == window["in_ledger"] <= window["limit_nanos"]
        assert window["reserved_nanos"] == 0
    came_to = sum(held.came_to for held in run.held if not held.refused)
    assert (
        sum(w["in_ledger"] for w in counted if w["target_id"] == run.tenant_id) == came_to * TOKEN
    )
    await budgets.recount_all(running.db, running.rt.clock)
    assert await run.windows() == counted
    await nothing_is_lost_of(run, tenant_limit, talk_limit)


async def nothing_is_lost_of(run: Run, tenant_limit: int, talk_limit: int) -> None:
    """To the token, what is left can be had, and not one more."""
    spent = {w["target_id"]: w["spent_nanos"] // TOKEN for w in await run.windows()}
    left = min(
        tenant_limit - spent.get(run.tenant_id, 0),
        talk_limit - spent.get(run.conversations[0], 0),
    )
    with pytest.raises(ResourceExhausted):
        await run.reserve(run.ledgers[0], left + 1, 0)
    if left:
        await run.reserve(run.ledgers[1], left, 0)
