"""Vectors kept for the next question: bounded, by tenant, for a while."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from harness.answers import COOKING, ROUTER, ask, asking, passage
from harness.services import Running
from llm_gateway.minilm.remembered import RememberedVectors

As = Callable[..., Any]
ONE, OTHER = uuid4(), uuid4()
VECTOR = np.ones(384, np.float32)


class TestRememberedVectors:
    def test_are_of_one_tenant(self) -> None:
        kept = RememberedVectors(10)
        kept.put(ONE, "text", VECTOR)
        assert kept.get(ONE, "text") is VECTOR
        assert kept.get(OTHER, "text") is None

    def test_those_used_longest_ago_make_room(self) -> None:
        kept = RememberedVectors(2)
        kept.put(ONE, "a", VECTOR)
        kept.put(ONE, "b", VECTOR)
        kept.get(ONE, "a")
        kept.put(ONE, "c", VECTOR)
        assert [kept.get(ONE, text) is not None for text in "abc"] == [True, False, True]
        none = RememberedVectors(0)
        none.put(ONE, "a", VECTOR)
        assert len(none) == 0

    def test_are_forgotten_an_hour_after_their_last_use(self) -> None:
        now = [0.0]
        kept = RememberedVectors(10, lambda: now[0])
        kept.put(ONE, "a", VECTOR)
        kept.put(ONE, "b", VECTOR)
        now[0] = 3000
        kept.get(ONE, "b")
        now[0] = 3700
        assert kept.get(ONE, "a") is None
        assert kept.get(ONE, "b") is VECTOR
        assert len(kept) == 1


class TestAnswer:
    async def test_the_same_passages_cost_less_the_second_time_and_say_the_same(
        self, running: Running, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        passages = passage(ROUTER), passage(COOKING)
        request = asking("How many LAN ports does the router have?", *passages)
        with as_background(tenant_id):
            first, second = await ask(stub, request), await ask(stub, request)
        assert first.text == second.text != ""
        rows = await running.rows("select units from usage_entry order by usage_id")
        assert rows[1]["units"] < rows[0]["units"]
