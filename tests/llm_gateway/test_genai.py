"""Calls to models in traces: the conventions' names, counts, and no text."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from fakes.anthropic_server import FakeAnthropic, overloaded
from fakes.otlp_collector import Collector, attributes_of, collecting
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit import context
from fleetkit.context import Attribution
from fleetkit.errors import Unavailable
from fleetkit.telemetry import tracer
from harness.answers import ROUTER, ask, asking, passage
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as names
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE

MODEL = "claude-sonnet-4-6"
SAMPLED = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


class TestSpans:
    async def test_tell_each_call_by_the_names_of_the_conventions_and_no_text(
        self,
        start: Callable[..., Any],
        claude: FakeAnthropic,
        collector: Collector,
        tenant_id: UUID,
    ) -> None:
        running = await start(
            anthropic_api_key="sk-test",
            anthropic_base_url=claude.url,
            answer_model=f"anthropic/{MODEL}",
            embed_workers=0,
            otlp_endpoint=collector.endpoint,
        )
        stub = running.stub(LlmGatewayServiceStub, caller="conversation")
        about = Attribution(conversation_id=uuid4(), agent_id=uuid4())
        asked = asking("How many secret ports?", passage(ROUTER), max_tokens=300)
        with context.background(tenant_id, about, traceparent=SAMPLED):
            await ask(stub, asked)
            claude.script(*[overloaded()] * 3)
            with pytest.raises(Unavailable):
                await ask(stub, asked)
        tracer("llm-gateway", collector.endpoint).close()

        whole, failed = [span for span in collector.spans if span.name == f"chat {MODEL}"]
        request = {
            names.GEN_AI_OPERATION_NAME: names.GenAiOperationNameValues.CHAT.value,
            names.GEN_AI_PROVIDER_NAME: names.GenAiProviderNameValues.ANTHROPIC.value,
            names.GEN_AI_REQUEST_MODEL: MODEL,
            names.GEN_AI_REQUEST_MAX_TOKENS: 300,
            names.GEN_AI_REQUEST_STREAM: True,
            names.GEN_AI_CONVERSATION_ID: str(about.conversation_id),
            names.GEN_AI_AGENT_ID: str(about.agent_id),
        }
        (usage,) = claude.usages
        assert attributes_of(whole) == request | {
            names.GEN_AI_USAGE_INPUT_TOKENS: usage["input_tokens"],
            names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: 0,
            names.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS: 0,
            names.GEN_AI_USAGE_OUTPUT_TOKENS: usage["output_tokens"],
        }
        assert attributes_of(failed) == request | {ERROR_TYPE: "PROVIDER_OVERLOADED"}
        assert failed.status.code == Status.STATUS_CODE_ERROR
        served = {span.span_id for span in collector.spans if span.name.endswith("/Answer")}
        for span in (whole, failed):
            assert span.kind == Span.SPAN_KIND_CLIENT
            assert span.trace_id.hex() == "a" * 32
            assert span.parent_span_id in served
        exported = b"".join(span.SerializeToString() for span in collector.spans)
        for text in (b"secret", b"LAN ports", b"300 grams"):
            assert text not in exported
