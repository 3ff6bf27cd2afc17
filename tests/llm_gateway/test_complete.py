"""Complete: text and JSON of a schema, by Claude and by OpenAI-compatible models."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from fakes.anthropic_server import Answer as Said
from fakes.anthropic_server import Block, FakeAnthropic
from fakes.faults import Reset, rate_limited
from fakes.openai_server import Answer, FakeOpenAi
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable
from harness.access import assert_refuses_strangers
from harness.services import Running
from llm_gateway.config import OpenAiEndpoint
from llm_gateway.providers.openai_once import is_strict
from pydantic import SecretStr

As = Callable[..., Any]
HAIKU, LUNA = "anthropic/claude-haiku-4-5", "openai/gpt-6-luna"
OWN = "own/small"
OWN_PRICES = """
version: own-1
models:
  - model: own/small
    serves: answer
    periods:
      - {source: ours, date: 2026-11-28, tiers: [{input_token: 1_000, output_token: 2_000}]}
"""
SCHEMA = {
    "type": "object",
    "properties": {"topic": {"type": "string", "minLength": 3}},
    "required": ["topic"],
    "additionalProperties": False,
}


@pytest.fixture
async def running(start: Any, claude: FakeAnthropic, openai: FakeOpenAi, tmp_path: Any) -> Running:
    (tmp_path / "own.yaml").write_text(OWN_PRICES)
    key = SecretStr("sk-openai")
    field: Any = "max_completion_tokens"
    return await start(
        anthropic_api_key=SecretStr("sk-test"),
        anthropic_base_url=claude.url,
        openai_endpoints=(
            OpenAiEndpoint(name="openai", base_url=openai.url, api_key=key, max_output_field=field),
            OpenAiEndpoint(name="own", base_url=openai.url),
        ),
        price_book_additions_file=tmp_path / "own.yaml",
        answer_model=HAIKU,
        embed_workers=0,
    )


@pytest.fixture
def complete(running: Running, as_background: As, tenant_id: UUID) -> Callable[..., Any]:
    stub = running.stub(LlmGatewayServiceStub, caller="memory")

    async def complete(prompt: str = "A kettle leaks.", **request: Any) -> pb.CompleteResponse:
        if isinstance(schema := request.get("json_schema"), dict):
            request["json_schema"] = json.dumps(schema)
        with as_background(tenant_id):
            return await stub.Complete(pb.CompleteRequest(prompt=prompt, **request), timeout=30)

    return complete


class TestComplete:
    async def test_refuses_strangers(self, running: Running) -> None:
        method = "fleetdesk.llm_gateway.v1.LlmGatewayService.Complete"
        await assert_refuses_strangers(running, method, pb.CompleteRequest(prompt="x"))

    async def test_writes_text_and_says_when_it_was_cut(
        self, running: Running, complete: Any, claude: FakeAnthropic
    ) -> None:
        claude.script(Said([Block("Kettles.")]), Said([Block("Ket")], stop_reason="max_tokens"))
        made = await complete(instructions="Name the topic.", max_tokens=50)
        assert (made.text, made.json, made.model) == ("Kettles.", "", HAIKU)
        assert not made.cut
        assert (await complete()).cut
        body = claude.requests[0]
        assert (body["system"], body["max_tokens"]) == ("Name the topic.", 50)
        assert body["messages"] == [{"role": "user", "content": "A kettle leaks."}]
        assert "output_config" not in body
        calls = await running.rows("select operation, status from usage_call")
        assert {(call["operation"], call["status"]) for call in calls} == {("complete", "settled")}

    async def test_each_provider_is_told_the_schema_in_its_own_way(
        self, complete: Any, claude: FakeAnthropic, openai: FakeOpenAi
    ) -> None:
        words = '```json\n{"topic": "kettles"}\n```'
        claude.script(Said([Block(words)]))
        openai.script(Answer(text=words), Answer(text=words))
        for model in (HAIKU, LUNA, OWN):
            made = await complete(model=model, json_schema=SCHEMA)
            assert (made.json, made.repaired) == ('{"topic":"kettles"}', False), model
        told = claude.requests[0]["output_config"]["format"]
        assert told["type"] == "json_schema"
        assert told["schema"]["required"] == ["topic"]
        luna, own = openai.requests
        assert luna["response_format"]["json_schema"]["schema"] == SCHEMA
        assert luna["response_format"]["json_schema"]["strict"] is True
        assert "response_format" not in own
        assert json.dumps(SCHEMA) in own["messages"][0]["content"]

    async def test_an_output_that_does_not_fit_is_asked_for_once_more(
        self, running: Running, complete: Any, claude: FakeAnthropic, openai: FakeOpenAi
    ) -> None:
        claude.script(Said([Block('{"topic": "x"}')]), Said([Block('{"topic": "kettles"}')]))
        made = await complete(json_schema=SCHEMA)
        assert (made.json, made.repaired) == ('{"topic":"kettles"}', True)
        asked = claude.requests[1]["messages"]
        assert [message["role"] for message in asked] == ["user", "assistant", "user"]
        assert asked[1]["content"] == '{"topic": "x"}'
        assert "$.topic" in asked[2]["content"]
        assert len(await running.rows("select from usage_call")) == 2, "both were paid for"
        openai.script(Answer(text="Kettles!"), Answer(text='{"topic": NaN}'))
        with pytest.raises(Unavailable) as error:
            await complete(model=LUNA, json_schema=SCHEMA)
        assert error.value.reason == "OUTPUT_NOT_VALID"
        assert "is not JSON" in openai.requests[1]["messages"][-1]["content"]

    async def test_a_cut_output_is_not_asked_for_again(
        self, complete: Any, claude: FakeAnthropic
    ) -> None:
        claude.script(Said([Block('{"topic": "ket')], stop_reason="max_tokens"))
        with pytest.raises(InvalidArgument) as error:
            await complete(json_schema=SCHEMA)
        assert (error.value.field, error.value.reason) == ("max_tokens", "OUTPUT_CUT")
        assert len(claude.requests) == 1

    async def test_faults_are_those_of_answers(
        self, running: Running, complete: Any, claude: FakeAnthropic, openai: FakeOpenAi
    ) -> None:
        claude.script(rate_limited(3), Reset())
        with pytest.raises(ResourceExhausted):
            await complete()
        with pytest.raises(Unavailable):
            await complete()
        openai.script(Answer(text="", finish_reason="content_filter"))
        with pytest.raises(Unavailable) as error:
            await complete(model=LUNA)
        assert error.value.reason == "CONTENT_FILTERED"
        calls = await running.rows("select status from usage_call order by call_id")
        assert [call["status"] for call in calls] == ["failed", "unconfirmed", "failed"]

    async def test_names_what_is_wrong(self, complete: Any) -> None:
        long = json.dumps({"type": "object", "title": "x" * 32_000})
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"prompt": " "}, "prompt"),
            ({"instructions": "x" * 256_001}, "prompt"),
            ({"max_tokens": 15}, "max_tokens"),
            ({"max_tokens": 8193}, "max_tokens"),
            ({"temperature_millis": 2001}, "temperature_millis"),
            ({"json_schema": "{"}, "json_schema"),
            ({"json_schema": '{"type": "array"}'}, "json_schema"),
            ({"json_schema": '{"type": 7}'}, "json_schema"),
            ({"json_schema": "[" * 20_000}, "json_schema"),
            ({"json_schema": long}, "json_schema"),
            ({"model": "local/rapidocr"}, "model"),
        ]
        for request, field in wrong:
            with pytest.raises((InvalidArgument, FailedPrecondition)) as error:
                await complete(**request)
            assert error.value.field == field, request.keys()

    async def test_a_schema_that_points_elsewhere_is_never_fetched(
        self, complete: Any, openai: FakeOpenAi
    ) -> None:
        openai.script(Answer(text='{"topic": "kettles"}'))
        schema = {"type": "object", "properties": {"topic": {"$ref": "https://example.com/x"}}}
        with pytest.raises(InvalidArgument) as error:
            await complete(model=OWN, json_schema=schema)
        assert error.value.field == "json_schema"

    async def test_without_keys_the_caller_is_told_to_go_on_without(
        self, start: Any, as_background: As, tenant_id: UUID
    ) -> None:
        local = await start()
        stub = local.stub(LlmGatewayServiceStub, caller="analytics")
        with as_background(tenant_id), pytest.raises(FailedPrecondition) as refused:
            await stub.Complete(pb.CompleteRequest(prompt="x"))
        assert refused.value.reason == "PROVIDER_NOT_CONFIGURED"


class TestStrict:
    def test_is_a_schema_of_closed_objects_with_all_required(self) -> None:
        assert is_strict(SCHEMA)
        assert not is_strict({**SCHEMA, "required": []})
        assert not is_strict({**SCHEMA, "additionalProperties": True})
        open_within = {"type": "object", "properties": {"a": {"type": "object"}}}
        closed = {**open_within, "required": ["a"], "additionalProperties": False}
        assert not is_strict(closed)
