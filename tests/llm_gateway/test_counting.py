"""Tokens as a provider counts them: where nobody waits, and where a budget is nearly spent."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from fakes.anthropic_server import FakeAnthropic
from fakes.openai_server import FakeOpenAi
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit.context import Attribution
from fleetkit.errors import ResourceExhausted
from harness.answers import ROUTER, ask, passage
from harness.services import Running
from harness.waiting import eventually
from llm_gateway.budgets import NewBudget, create_budget
from llm_gateway.config import OpenAiEndpoint
from llm_gateway.entries import counted_bound
from llm_gateway.pricing import Unit

As = Callable[..., Any]
SONNET = "anthropic/claude-sonnet-4-6"
LUNA = "openai/gpt-6-luna"
MODELS = pytest.mark.parametrize("model", [SONNET, LUNA])
RULES = "Be kind, and say what it costs. " * 100


def test_the_bound_of_a_counted_prompt_is_as_dear_as_its_kinds_can_be() -> None:
    at_most = {Unit.INPUT: 4_000, Unit.CACHE_WRITE_1H: 8_000, Unit.OUTPUT: 1_024}
    for counted, input_, written in ((100, 0, 152), (10_000, 2_250, 8_000), (50_000, 4_000, 8_000)):
        bound = {Unit.INPUT: input_, Unit.CACHE_WRITE_1H: written, Unit.OUTPUT: 1_024}
        assert counted_bound(at_most, counted) == bound


@pytest.fixture
def fakes(claude: FakeAnthropic, openai: FakeOpenAi) -> dict[str, Any]:
    return {"anthropic": claude, "openai": openai}


@pytest.fixture
async def running(start: Any, fakes: dict[str, Any]) -> Running:
    openai = OpenAiEndpoint(name="openai", base_url=fakes["openai"].url, counts_tokens=True)
    return await start(
        embed_workers=0,
        anthropic_api_key="sk-fleets",
        anthropic_base_url=fakes["anthropic"].url,
        openai_endpoints=(openai.model_copy(update={"max_output_field": "max_completion_tokens"}),),
        answer_model=SONNET,
    )


def asking(model: str, instructions: str = "", max_tokens: int = 100) -> pb.AnswerRequest:
    return pb.AnswerRequest(
        model=model,
        instructions=instructions,
        question="How do I reset the router?",
        passages=[passage(ROUTER)],
        prompt_caching=True,
        max_tokens=max_tokens,
    )


async def calls(running: Running, tenant_id: UUID) -> list[dict[str, Any]]:
    return await running.rows(
        "select reserved_nanos, reserved, (select sum(amount_nanos)::bigint from usage_entry e"
        "  where e.call_id = c.call_id) as spent_nanos"
        " from usage_call c where tenant_id = %s order by create_time",
        tenant_id,
    )


async def limited(running: Running, nanos: int) -> UUID:
    """A new tenant that may spend so much a day."""
    tenant_id = uuid4()
    new = NewBudget("tenant", None, "day", nanos, hard=True)
    await create_budget(running.db, running.rt.clock, tenant_id, new)
    return tenant_id


@MODELS
async def test_where_a_budget_is_nearly_spent_what_fits_by_the_providers_count_is_made(
    running: Running, stub: Any, fakes: dict[str, Any], as_background: As, model: str
) -> None:
    fake = fakes[model.partition("/")[0]]

    async def asked(tenant_id: UUID, **fields: Any) -> dict[str, Any]:
        with as_background(tenant_id):
            await ask(stub, asking(model, **fields))
        return (await calls(running, tenant_id))[-1]

    async def completed(tenant_id: UUID) -> dict[str, Any]:
        prompt = "What does it cost? " * 200
        with as_background(tenant_id):
            await stub.Complete(pb.CompleteRequest(model=model, prompt=prompt, max_tokens=16))
        return (await calls(running, tenant_id))[-1]

    for made in (asked, completed):
        bound = (await made(uuid4()))["reserved_nanos"]
        assert fake.counted == [], "there is room"
        # Less than half of the bound without a count, and more than what it comes to.
        capped = await limited(running, bound * 2 // 5)
        call = await made(capped)
        assert len(fake.counted) == 1
        assert call["spent_nanos"] <= call["reserved_nanos"] <= bound * 2 // 5
        with pytest.raises(ResourceExhausted):
            # An answer that alone is more than what is left: no count could help.
            await asked(capped, max_tokens=4_000)
        assert len(fake.counted) == 1
        fake.count_fails = True
        uncounted = await limited(running, bound - 1)
        with pytest.raises(ResourceExhausted) as refused:
            await made(uncounted)
        assert refused.value.reason == "BUDGET_EXHAUSTED"
        assert await calls(running, uncounted) == []
        fake.count_fails, fake.counted = False, []


class TestWhatStandsBeforeTheHistory:
    @MODELS
    async def test_is_counted_once_beside_the_answers(
        self, running: Running, stub: Any, fakes: dict[str, Any], as_background: As, model: str
    ) -> None:
        fake, tenant_id = fakes[model.partition("/")[0]], uuid4()

        async def counted() -> bool:
            with as_background(tenant_id):
                await ask(stub, asking(model, RULES))
            made = await calls(running, tenant_id)
            return made[-1]["reserved_nanos"] < made[0]["reserved_nanos"]

        await eventually(counted)
        with as_background(tenant_id):
            await ask(stub, asking(model, RULES))
        assert len(fake.counted) == 1
        assert all(
            call["spent_nanos"] <= call["reserved_nanos"]
            for call in await calls(running, tenant_id)
        )

    async def test_says_whether_the_minimum_of_the_cache_is_reached(
        self, running: Running, fakes: dict[str, Any], as_background: As, tenant_id: UUID
    ) -> None:
        """By its bytes it would not be: these words have more tokens than English ones."""
        claude = fakes["anthropic"]
        stub = running.stub(LlmGatewayServiceStub, caller="conversation")
        rules, agent_id = "é" * 1_100, uuid4()

        async def marked() -> bool:
            # Often enough that keeping it pays.
            running.advance(seconds=61)
            with as_background(tenant_id, Attribution("turn", agent_id=agent_id)):
                await ask(stub, asking(SONNET, rules))
            return "cache_control" in claude.requests[-1]["system"][0]

        await eventually(marked)
        assert claude.usages[-1]["cache_creation_input_tokens"] >= 1_024

    async def test_makes_an_estimate_closer(
        self, running: Running, as_identity: As, tenant_id: UUID
    ) -> None:
        gateway = running.stub(LlmGatewayServiceStub, caller="gateway")
        request = pb.EstimateAnswerRequest(model=SONNET, instructions=RULES)
        with as_identity(tenant_id, role="admin"):
            first = (await gateway.EstimateAnswer(request)).most_nanos

            async def closer() -> bool:
                return (await gateway.EstimateAnswer(request)).most_nanos < first

            await eventually(closer)
