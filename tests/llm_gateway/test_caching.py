"""Prompt caching: what is marked for how long, from what, and what it brings."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from eval.caching import Traffic, asked, drive, outcome
from fakes.anthropic_server import FakeAnthropic
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit.context import Attribution
from harness.answers import ROUTER, ask, passage
from harness.services import Running
from llm_gateway.caching.habits import Growth, chances
from llm_gateway.caching.plan import (
    NO_MARKS,
    CachePrices,
    Chances,
    Marks,
    Sizes,
    best_marks,
    expected_cost,
)
from llm_gateway.store.caching import Use
from pydantic import SecretStr

As = Callable[..., Any]
MODEL = "claude-sonnet-4-6"
PRICES = CachePrices(1.0, 0.1, {"5m": 1.25, "1h": 2.0})
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def likely(stable_5m: float, stable_1h: float, history_5m: float, history_1h: float) -> Chances:
    return Chances({"5m": stable_5m, "1h": stable_1h}, {"5m": history_5m, "1h": history_1h})


class TestBestMarks:
    def test_each_level_is_kept_for_as_long_as_pays(self) -> None:
        sizes = Sizes(2000, 500, 1024)
        for chance, marks in {
            (0.98, 0.985, 0.9, 0.92): Marks("5m", "5m"),
            (0.1, 0.95, 0.9, 0.92): Marks("1h", "5m"),
            (0.1, 0.95, 0.1, 0.9): Marks("1h", "1h"),
            (0.98, 0.985, 0.1, 0.2): Marks("5m"),
            (0.1, 0.9, 0.1, 0.2): Marks("1h"),
            (0.1, 0.2, 0.1, 0.2): NO_MARKS,
        }.items():
            assert best_marks(sizes, likely(*chance), PRICES) == marks, chance

    def test_the_break_even_is_where_the_prices_say(self) -> None:
        sizes = Sizes(2000, 0, 1024)
        five, hour = 0.25 / 1.15, 1.0 / 1.9
        assert best_marks(sizes, likely(five - 0.01, 0, 0, 0), PRICES) == NO_MARKS
        assert best_marks(sizes, likely(five + 0.01, 0, 0, 0), PRICES) == Marks("5m")
        assert best_marks(sizes, likely(0, hour - 0.01, 0, 0), PRICES) == NO_MARKS
        assert best_marks(sizes, likely(0, hour + 0.01, 0, 0), PRICES) == Marks("1h")

    def test_nothing_is_ever_cached_at_an_expected_loss(self) -> None:
        shares = (0.0, 0.2, 0.25, 0.5, 0.6, 1.0)
        for sizes in (Sizes(2000, 500, 1024), Sizes(500, 2000, 1024)):
            for stable in shares:
                for history in shares:
                    chance = likely(stable, min(1, stable + 0.1), history, min(1, history + 0.1))
                    marks = best_marks(sizes, chance, PRICES)
                    cost = expected_cost(marks, sizes, chance, PRICES)
                    assert cost <= sizes.stable + sizes.history
                    assert not (marks.history == "1h" and marks.stable == "5m"), "refused"

    def test_what_is_kept_already_is_marked_to_be_read(self) -> None:
        """Though nothing comes after it: most of it costs a tenth, and a quarter more the rest."""
        last = likely(1, 1, 0, 0)
        assert best_marks(Sizes(2000, 500, 1024), last, PRICES) == Marks("5m")
        assert best_marks(Sizes(2000, 500, 1024, kept=400), last, PRICES) == Marks("5m", "5m")
        assert best_marks(Sizes(2000, 500, 1024, kept=50), last, PRICES) == Marks("5m")

    def test_what_is_shorter_than_the_minimum_is_not_marked(self) -> None:
        sure = likely(1, 1, 1, 1)
        assert best_marks(Sizes(900, 0, 1024), sure, PRICES) == NO_MARKS
        assert best_marks(Sizes(900, 100, 1024), sure, PRICES) == NO_MARKS
        assert best_marks(Sizes(900, 200, 1024), sure, PRICES) == Marks(None, "5m")


def uses(*at_minutes: float, conversation_id: UUID | None = None) -> list[Use]:
    return [Use(NOON + timedelta(minutes=at), conversation_id) for at in at_minutes]


class TestChances:
    def test_of_nothing_known_speak_against_caching(self) -> None:
        assert best_marks(Sizes(2000, 500, 1024), chances([], NOON), PRICES) == NO_MARKS

    def test_come_from_the_time_until_a_prefix_was_used_again(self) -> None:
        one, other = uuid4(), uuid4()
        seen = sorted(
            [
                *uses(0, 4, 8, conversation_id=one),
                *uses(2, 30, conversation_id=other),
            ],
            key=lambda use: use.create_time,
        )
        known = chances(seen, NOON + timedelta(hours=3))
        # Of any conversation: 2, 2, 4 and 22 minutes, and nobody since; two more at the prior.
        assert known.stable == pytest.approx({"5m": (3 + 0.4) / 7, "1h": (4 + 1) / 7})
        # Of their own: 4 and 4, 28, and nobody since, twice.
        assert known.history == pytest.approx({"5m": (2 + 0.4) / 7, "1h": (3 + 1) / 7})

    def test_a_request_just_made_says_nothing_yet(self) -> None:
        assert chances(uses(0), NOON + timedelta(minutes=50)) == chances([], NOON)


class TestGrowth:
    def test_a_window_that_slides_is_noticed(self) -> None:
        growth, conversation_id = Growth(), uuid4()
        for turn in range(40):
            said = list(range(2 * turn))
            growth.note(conversation_id, said[-10:], NOON)
        assert growth.share(4) == 1
        assert growth.share(10) < 0.2

    def test_what_was_marked_is_kept_while_it_lives_and_until_the_window_moves(self) -> None:
        growth, conversation_id = Growth(), uuid4()
        assert growth.note(conversation_id, "ab", NOON) == 0
        growth.marked(conversation_id, "5m", NOON)
        soon, later = NOON + timedelta(minutes=4), NOON + timedelta(minutes=6)
        assert growth.note(conversation_id, "abcd", soon) == 2
        assert growth.note(uuid4(), "abcd", soon) == 0
        assert growth.note(conversation_id, "abcd", later) == 0
        assert growth.note(conversation_id, "cd", soon) == 0


@pytest.fixture
async def running(start: Callable[..., Any], claude: FakeAnthropic) -> Running:
    return await start(
        anthropic_api_key=SecretStr("sk-test"),
        anthropic_base_url=claude.url,
        answer_model=f"anthropic/{MODEL}",
        embed_workers=0,
    )


class TestPlanner:
    async def test_learns_from_an_agents_own_traffic_and_from_no_other(
        self, running: Running, claude: FakeAnthropic, as_background: As, tenant_id: UUID
    ) -> None:
        stub = running.stub(LlmGatewayServiceStub, caller="conversation")
        agent_id, conversation_id = uuid4(), uuid4()

        async def turn(agent_id: UUID, tenant: UUID = tenant_id, **fields: Any) -> bool:
            """Whether the next request is marked, two minutes after the last one."""
            running.advance(120)
            request = pb.AnswerRequest(
                question="Ports?",
                passages=[passage(ROUTER)],
                **{"instructions": "Be brief. " * 500, "prompt_caching": True, **fields},
            )
            about = Attribution(conversation_id=conversation_id, agent_id=agent_id)
            with as_background(tenant, about):
                await ask(stub, request)
            return "cache_control" in claude.requests[-1]["system"][0]

        assert [await turn(agent_id) for _ in range(5)] == [False, False, True, True, True]
        assert claude.usages[-1]["cache_read_input_tokens"] > 1024
        assert not await turn(agent_id, prompt_caching=False), "off for this agent"
        assert not await turn(agent_id, instructions="Be brief."), "too short"
        assert not await turn(uuid4()), "another agent of the tenant"
        assert not await turn(agent_id, uuid4()), "another tenant"
        assert await turn(agent_id, instructions="Be kind. " * 500), "a new version of the agent"
        assert claude.usages[-1]["cache_read_input_tokens"] == 0, "reads nothing of the old one"

    async def test_rare_requests_are_not_cached(
        self, running: Running, claude: FakeAnthropic, tenant_id: UUID
    ) -> None:
        once = [[(True, "How do I return it?"), (False, "Send it back.")]] * 8
        traffic = Traffic("rare", MODEL, 1500, 100_000)
        await drive(running, claude, tenant_id, traffic, asked(once, traffic))
        assert "cache_control" not in str(claude.requests)

    async def test_over_conversations_most_is_read_and_nearly_all_is_saved_that_can_be(
        self, running: Running, claude: FakeAnthropic, tenant_id: UUID
    ) -> None:
        said = [
            (number % 2 == 0, f"{number}. What about the order that I made last week? " * 3)
            for number in range(14)
        ]
        traffic = Traffic("busy", MODEL, 1500, 3)
        todo = asked([said] * 10, traffic)
        sent = await drive(running, claude, tenant_id, traffic, todo)
        found = outcome(sent, MODEL, 1024)
        assert found.requests == 70
        assert found.read_share > 0.8
        assert found.oracle <= found.paid < 0.6 * found.uncached
        assert found.regret < 0.15
        (row,) = await running.rows(
            "select sum(units)::int as units from usage_entry where kind = 'cache_read_token'"
        )
        assert row["units"] == found.read, "the ledger has what the provider reported"
