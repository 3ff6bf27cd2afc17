"""Embed: who may call, what is refused, what comes back and what it costs."""

import math
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from fleetdesk.llm_gateway.v1 import events_pb2, usage_pb2
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetkit.context import Attribution
from fleetkit.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from harness.access import assert_refuses_strangers
from harness.services import Running
from llm_gateway.pricing import amount_nanos

As = Callable[..., Any]
QUERY = pb.EMBED_KIND_QUERY
PASSAGE = pb.EMBED_KIND_PASSAGE


def dot(a: pb.Embedding, b: pb.Embedding) -> float:
    return sum(x * y for x, y in zip(a.values, b.values, strict=True))


class TestEmbed:
    async def test_refuses_strangers(self, running: Running) -> None:
        request = pb.EmbedRequest(texts=["hello"], kind=QUERY)
        method = "fleetdesk.llm_gateway.v1.LlmGatewayService.Embed"
        await assert_refuses_strangers(running, method, request)

    async def test_returns_a_unit_vector_for_each_text_in_order(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        texts = ["How do I get a refund?", "Refunds take five days.", "The sky is blue."]
        with as_background(tenant_id):
            made = await stub.Embed(pb.EmbedRequest(texts=texts, kind=PASSAGE), timeout=30)
        question, near, far = made.embeddings
        assert made.model.startswith("local/all-minilm-l6-v2@int8-")
        assert [len(e.values) for e in made.embeddings] == [384] * 3
        assert math.isclose(dot(question, question), 1, abs_tol=1e-4)
        assert dot(question, near) > dot(question, far) + 0.2
        assert [e.token_count for e in made.embeddings] == [8, 6, 5]

    async def test_people_and_visitors_may_search_too(
        self, stub: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        request = pb.EmbedRequest(texts=["hello"], kind=QUERY)
        with as_identity(tenant_id):
            person = await stub.Embed(request, timeout=30)
        with as_identity(tenant_id, kind="visitor", conversation_id=uuid4()):
            visitor = await stub.Embed(request, timeout=30)
        assert person == visitor

    async def test_stands_on_the_ledger_with_whom_it_was_for(
        self, running: Running, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        for_whom = Attribution(
            purpose="turn", message_id=uuid4(), conversation_id=uuid4(), agent_id=uuid4()
        )
        with as_background(tenant_id, for_whom):
            await stub.Embed(pb.EmbedRequest(texts=["hello", "world"], kind=QUERY), timeout=30)
        (row,) = await running.rows("select * from usage_entry")
        assert row["tenant_id"] == tenant_id
        assert (row["service"], row["provider"], row["model"]) == (
            "conversation",
            "local",
            "all-minilm-l6-v2",
        )
        assert (row["kind"], row["purpose"], row["status"]) == ("compute_us", "turn", "settled")
        assert row["message_id"] == for_whom.message_id
        assert row["conversation_id"] == for_whom.conversation_id
        assert row["agent_id"] == for_whom.agent_id
        assert row["units"] > 1000
        assert row["price_nanos_per_million"] == 10_000
        assert row["amount_nanos"] == amount_nanos(row["units"], 10_000) > 0
        (call,) = await running.rows("select * from usage_call")
        assert call["status"] == "settled"
        assert call["reserved_nanos"] >= row["amount_nanos"]
        (event,) = await running.events(events_pb2.UsageRecorded)
        (entry,) = event["entries"]
        assert entry["amountNanos"] == str(row["amount_nanos"])
        assert entry["status"] == usage_pb2.UsageStatus.Name(usage_pb2.USAGE_STATUS_SETTLED)


class TestLongTexts:
    async def test_a_fact_in_the_tail_is_found_by_its_vector_alone(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        """The model reads 256 tokens; each of these texts has some 400 and differs at its end."""
        head = " ".join(f"Step {n}: open the panel and check the cable." for n in range(1, 33))
        tails = (
            "The warranty lasts three years from the day of purchase.",
            "Replacement batteries are sold in packs of four.",
            "The display language is changed in the settings menu.",
        )
        questions = (
            "How long is the warranty?",
            "Where do I buy new batteries?",
            "How do I change the language of the display?",
        )
        texts = [f"{head} {tail}" for tail in tails]
        with as_background(tenant_id):
            passages = await stub.Embed(pb.EmbedRequest(texts=texts, kind=PASSAGE), timeout=60)
            asked = await stub.Embed(pb.EmbedRequest(texts=questions, kind=QUERY), timeout=60)
        assert all(e.token_count > 330 for e in passages.embeddings)
        for index, question in enumerate(asked.embeddings):
            cosines = [dot(question, passage) for passage in passages.embeddings]
            assert cosines.index(max(cosines)) == index


class TestBadInput:
    @pytest.mark.parametrize(
        ("request_", "field"),
        [
            (pb.EmbedRequest(kind=QUERY), "texts"),
            (pb.EmbedRequest(texts=["x"] * 65, kind=QUERY), "texts"),
            (pb.EmbedRequest(texts=["x", " \n"], kind=QUERY), "texts[1]"),
            (pb.EmbedRequest(texts=["x" * 32_001], kind=QUERY), "texts[0]"),
            (pb.EmbedRequest(texts=["x"]), "kind"),
            (pb.EmbedRequest(texts=["x"], kind=99), "kind"),  # pyright: ignore[reportArgumentType]
        ],
    )
    async def test_names_the_field(
        self,
        request_: pb.EmbedRequest,
        field: str,
        running: Running,
        stub: Any,
        as_background: As,
        tenant_id: UUID,
    ) -> None:
        with as_background(tenant_id), pytest.raises(InvalidArgument) as refused:
            await stub.Embed(request_, timeout=10)
        assert refused.value.field == field
        assert await running.rows("select * from usage_call") == []

    async def test_hostile_texts_are_only_texts(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        texts = ["\x00\x01", "'; drop table usage_entry; --", "🎛" * 1000, "." * 3000, "\u202e"]
        with as_background(tenant_id):
            made = await stub.Embed(pb.EmbedRequest(texts=texts, kind=PASSAGE), timeout=60)
        assert all(math.isclose(dot(e, e), 1, abs_tol=1e-4) for e in made.embeddings)

    async def test_an_unknown_model_is_refused(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        request = pb.EmbedRequest(texts=["x"], kind=QUERY, model="voyage/voyage-4")
        with as_background(tenant_id), pytest.raises(FailedPrecondition) as refused:
            await stub.Embed(request, timeout=10)
        assert refused.value.reason == "PROVIDER_NOT_CONFIGURED"

    async def test_a_full_queue_says_when_to_come_back(
        self, start: Any, as_background: As, tenant_id: UUID
    ) -> None:
        import asyncio

        from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub

        running = await start(embed_queue_texts=64)
        stub = running.stub(LlmGatewayServiceStub, caller="retrieval")
        request = pb.EmbedRequest(texts=["passage " * 200] * 60, kind=PASSAGE)
        with as_background(tenant_id):
            calls = [asyncio.ensure_future(stub.Embed(request, timeout=60)) for _ in range(3)]
            done = await asyncio.gather(*calls, return_exceptions=True)
        refused = [error for error in done if isinstance(error, ResourceExhausted)]
        assert refused
        assert all((error.retry_after_s or 0) > 0 for error in refused)
        failed = await running.rows("select failure from usage_call where status = 'failed'")
        assert {row["failure"] for row in failed} == {"EMBED_QUEUE_FULL"}
