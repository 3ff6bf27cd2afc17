"""The most that an answer can cost, known before any call."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit.errors import InvalidArgument
from harness.access import assert_refuses_strangers
from harness.services import Running

As = Callable[..., Any]
LADDER = ("anthropic/claude-haiku-5-5", "anthropic/claude-sonnet-5-5", "anthropic/claude-opus-5-5")


@pytest.fixture
async def running(start: Any) -> Running:
    return await start(
        embed_workers=0,
        anthropic_api_key="sk-unused",
        # Nobody counts the tokens of instructions there.
        anthropic_base_url="http://127.0.0.1:9",
        answer_model=LADDER[0],
    )


def of(*models: str, **fields: Any) -> pb.EstimateAnswerRequest:
    return pb.EstimateAnswerRequest(model=models[0], next_models=models[1:], **fields)


class TestEstimateAnswer:
    async def test_refuses_strangers(self, running: Running) -> None:
        method = "fleetdesk.llm_gateway.v1.LlmGatewayService.EstimateAnswer"
        await assert_refuses_strangers(running, method, of(""))

    async def test_is_the_sum_of_the_attempts_and_calls_nobody(
        self, running: Running, as_identity: As, tenant_id: UUID
    ) -> None:
        stub = running.stub(LlmGatewayServiceStub, caller="gateway")
        with as_identity(tenant_id, role="viewer"):
            whole = await stub.EstimateAnswer(of(*LADDER))
            first = await stub.EstimateAnswer(of(""))
            cached = await stub.EstimateAnswer(of(*LADDER, prompt_caching=True))
            longer = await stub.EstimateAnswer(
                of(*LADDER, max_tokens=2024, instructions="x" * 8000)
            )
            with pytest.raises(InvalidArgument):
                await stub.EstimateAnswer(of(*LADDER, LADDER[0]))
        assert [(tier.tier, tier.model) for tier in whole.tiers] == [*enumerate(LADDER, 1)]
        assert whole.most_nanos == sum(tier.most_nanos for tier in whole.tiers)
        assert first.tiers[0].most_nanos == whole.tiers[0].most_nanos
        # The answer's 1,024 tokens alone; Haiku's prompt is too short for the prices of long ones.
        outputs = [512_000, 10_240_000, 20_480_000]
        for tier, output in zip(whole.tiers, outputs, strict=True):
            assert tier.most_nanos > output
        # Haiku's prompt at $0.10 a million; written to the cache for an hour, at $0.20.
        prompt = [whole.tiers[0].most_nanos - outputs[0], cached.tiers[0].most_nanos - outputs[0]]
        assert prompt[1] == 2 * prompt[0]
        # A thousand tokens more at $0.50 a million, 8,000 bytes more at $0.10.
        added = longer.tiers[0].most_nanos - whole.tiers[0].most_nanos
        assert added == pytest.approx(1_000 * 500 + 8_000 * 100, rel=0.001)
        assert await running.rows("select * from usage_call") == []
