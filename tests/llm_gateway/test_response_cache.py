"""The exact response cache: for the very same only, for nothing, and forgotten in time."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID, uuid4

import pytest
from fleetdesk.conversation.v1 import events_pb2 as conversation_events
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetdesk.retrieval.v1 import events_pb2 as retrieval_events
from fleetkit.context import Attribution
from harness.answers import ROUTER, SHIPPING, Said, ask, asking, passage
from harness.services import Running
from harness.waiting import eventually
from llm_gateway.answer import Ladder
from llm_gateway.question import Passage, Question, Turn
from llm_gateway.response_cache import Asked, key_of, normalised

As = Callable[..., AbstractContextManager[Any]]
QUESTION = "How do I restore the factory settings?"
PASSAGES = passage(ROUTER, score=0.9), passage(SHIPPING, score=0.1)


def question(**changes: Any) -> Asked:
    made = Passage("c1", "d1", "Manual", ("Top",), ROUTER, 0.5)
    fields = {
        "model": "local/extractive",
        "instructions": "Be kind.",
        "history": (),
        "passages": (made,),
        "text": QUESTION,
        "max_tokens": 0,
        "temperature_millis": 0,
        "prompt_caching": True,
        "response_cache": True,
    }
    ladder = Ladder(changes.pop("next_models", ()))
    return Asked(Question(**{**fields, **changes}), ladder)


class TestKey:
    def test_spelling_that_changes_nothing_is_the_same(self) -> None:
        assert normalised("  How  DO I… ") == normalised("how do i?") == "how do i"
        same = question(text=" how do I restore the FACTORY settings ?! ", model="")
        assert key_of(same, "local/extractive") == key_of(question(), "x/y")

    def test_a_score_that_moved_is_the_same(self) -> None:
        moved = Passage("c1", "d1", "Manual", ("Top",), ROUTER, 0.4)
        assert key_of(question(passages=(moved,)), "") == key_of(question(), "")

    @pytest.mark.parametrize(
        "changes",
        [
            {"text": "How do I restore the network settings?"},
            {"model": "anthropic/claude-haiku-5-5"},
            {"instructions": "Be brief."},
            {"history": (Turn(True, "My router is an R7."),)},
            {"passages": (Passage("c1", "d1", "Manual", ("Top",), ROUTER + " ", 0.5),)},
            {"passages": (Passage("c2", "d1", "Manual", ("Top",), ROUTER, 0.5),)},
            {"passages": ()},
            {"max_tokens": 200},
            {"next_models": ("anthropic/claude-opus-5-5",)},
            {"temperature_millis": 100},
            {"screen_text": "ERROR 0x80070005"},
            {"screen_focus": "ERROR"},
        ],
    )
    def test_whatever_the_answer_is_made_from_is_in_it(self, changes: dict[str, Any]) -> None:
        assert key_of(question(**changes), "") != key_of(question(), "")


class Asker:
    """Asks a service as conversation, with the cache on."""

    def __init__(self, running: Running, as_background: As, tenant_id: UUID) -> None:
        self.running = running
        self.as_background = as_background
        self.tenant_id = tenant_id
        self.stub: Any = running.stub(LlmGatewayServiceStub, caller="conversation")

    async def ask(
        self, text: str = QUESTION, agent_id: UUID | None = None, **fields: Any
    ) -> tuple[Said, UUID]:
        message_id = uuid4()
        whose = Attribution("turn", message_id=message_id, agent_id=agent_id, visitor_id=uuid4())
        given = {"response_cache": True, **fields}
        with self.as_background(fields.pop("tenant_id", self.tenant_id), whose):
            given.pop("tenant_id", None)
            said = await ask(self.stub, asking(text, *PASSAGES, **given))
        return said, message_id

    async def rows(self, message_id: UUID) -> list[dict[str, Any]]:
        query = "select * from usage_entry where message_id = %s"
        return await self.running.rows(query, message_id)

    async def is_hit(self, message_id: UUID) -> bool:
        return [row["kind"] for row in await self.rows(message_id)] == ["response_cache_hit"]

    async def kept(self, count: int) -> None:
        async def are_kept() -> bool:
            return len(await self.running.rows("select from cached_response")) == count

        await eventually(are_kept)


@pytest.fixture
def asker(running: Running, as_background: As, tenant_id: UUID) -> Asker:
    return Asker(running, as_background, tenant_id)


class TestAnswering:
    async def test_the_same_question_is_answered_for_nothing_and_says_what_that_saved(
        self, asker: Asker, other_tenant_id: UUID
    ) -> None:
        first, first_id = await asker.ask()
        await asker.kept(1)
        again, again_id = await asker.ask("how do I restore the factory settings")
        assert (again.text, again.citations) == (first.text, first.citations)
        again.check_citations(*PASSAGES)
        assert again.completed is not None
        assert first.completed is not None
        assert again.completed.support == first.completed.support
        assert again.completed.call_id != first.completed.call_id
        (row,) = await asker.rows(again_id)
        cost = sum(row["amount_nanos"] for row in await asker.rows(first_id))
        assert (row["kind"], row["units"], row["amount_nanos"]) == ("response_cache_hit", 1, 0)
        assert row["saved_nanos"] == cost > 0
        # Nobody else gets it: another tenant, who has turned it off, who shares a screen.
        different: list[dict[str, Any]] = [
            {"tenant_id": other_tenant_id},
            {"response_cache": False},
            {"screen_text": "ERROR 7"},
            {"first_tier": 2},
            {"history": [pb.HistoryTurn(from_visitor=True, text="Hello")]},
        ]
        for others in different:
            _, message_id = await asker.ask(**others)
            assert not await asker.is_hit(message_id)

    async def test_it_is_forgotten(
        self, asker: Asker, bus: Any, other_tenant_id: UUID, tenant_id: UUID
    ) -> None:
        agent_id = uuid4()
        await asker.ask(agent_id=agent_id)
        await asker.kept(1)
        # Another agent's publishing does nothing, nor does another tenant's knowledge.
        other = conversation_events.AgentPublished(agent_id=str(uuid4()), version=2)
        await bus.emit(other, tenant_id)
        await bus.emit(retrieval_events.KnowledgeChanged(), other_tenant_id)
        published = conversation_events.AgentPublished(agent_id=str(agent_id), version=2)
        assert await asker.is_hit((await asker.ask(agent_id=agent_id))[1])
        await bus.emit(published, tenant_id)
        await asker.kept(0)
        await asker.ask(agent_id=agent_id)
        await asker.kept(1)
        await bus.emit(retrieval_events.KnowledgeChanged(), tenant_id)
        await asker.kept(0)
        await asker.ask()
        await asker.kept(1)
        asker.running.advance(seconds=86_401)
        assert not await asker.is_hit((await asker.ask())[1])

    async def test_a_tenant_keeps_a_bounded_number(
        self, start: Any, as_background: As, tenant_id: UUID
    ) -> None:
        asker = Asker(await start(response_cache_most=2), as_background, tenant_id)
        for minutes in ("one", "two", "three"):
            await asker.ask(f"{QUESTION} Within {minutes}")
            asker.running.advance(seconds=60)
        await asker.kept(2)
