"""A visitor who asks again begins one model further up."""

from typing import Any

import pytest
from fakes.neighbours import FakeNeighbours, completed, quote
from fleetkit.errors import Unavailable
from harness.conversing import Visitor

ANSWER = "Hold the reset button for ten seconds."
FIRST, AGAIN, OTHER = "How do I reset it?", "Which way can it be reset?", "Is there a LAN port?"
LADDER = ["fake/dear", "fake/dearest"]


@pytest.fixture
async def visitor(arrive: Any, running: Any, neighbours: FakeNeighbours) -> Visitor:
    neighbours.llm.models += LADDER
    neighbours.llm.angles = {OTHER: 80, AGAIN: 40}
    return await arrive(running, model="fake/writer", next_models=LADDER)


def answers(neighbours: FakeNeighbours, tier: int) -> None:
    found = neighbours.retrieval.results[0]
    neighbours.llm.script = (ANSWER, quote(found, ANSWER, ANSWER), completed(tier=tier))


async def begun(visitor: Visitor, neighbours: FakeNeighbours, text: str, tier: int) -> int:
    """Asks; where the turn was told to begin. It is answered by the model at `tier`."""
    answers(neighbours, tier)
    await visitor.ask(text)
    return neighbours.llm.requests[-1].first_tier


class TestFirstTier:
    async def test_climbs_with_each_repetition_and_not_beyond_the_last(
        self, visitor: Visitor, neighbours: FakeNeighbours
    ) -> None:
        assert await begun(visitor, neighbours, FIRST, 1) == 0
        assert await begun(visitor, neighbours, AGAIN, 2) == 2
        assert await begun(visitor, neighbours, FIRST, 3) == 3
        assert await begun(visitor, neighbours, AGAIN, 3) == 3

    async def test_another_question_begins_at_the_bottom(
        self, visitor: Visitor, neighbours: FakeNeighbours
    ) -> None:
        assert await begun(visitor, neighbours, FIRST, 1) == 0
        assert await begun(visitor, neighbours, OTHER, 1) == 0
        assert await begun(visitor, neighbours, AGAIN, 2) == 2, "it need not be the last one"

    async def test_is_the_bottom_when_nobody_can_compare(
        self, visitor: Visitor, neighbours: FakeNeighbours
    ) -> None:
        assert await begun(visitor, neighbours, FIRST, 1) == 0
        neighbours.llm.embed_error = Unavailable("away")
        assert await begun(visitor, neighbours, AGAIN, 1) == 0

    async def test_a_single_model_is_not_compared_for(
        self, arrive: Any, running: Any, neighbours: FakeNeighbours
    ) -> None:
        visitor = await arrive(running)
        neighbours.llm.embed_error = AssertionError("not asked")
        assert await begun(visitor, neighbours, FIRST, 1) == 0
        assert await begun(visitor, neighbours, FIRST, 1) == 0
