"""Rerank: who may call, each provider through its SDK, their failures, and what it costs."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import pytest
from fakes.cohere_server import fake_cohere
from fakes.faults import Failure, Reset
from fakes.scripting import Malformed, ScriptedServer, Slow
from fakes.tei_server import MAX_BATCH, fake_tei
from fakes.voyage_server import fake_voyage
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    FleetError,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from harness.access import assert_refuses_strangers
from harness.services import Running
from harness.waiting import eventually
from llm_gateway.pair_cache import PairCache, pair_key

As = Callable[..., Any]
DOCUMENTS = ["a cat sat", "the red cable fits", "red paint"]
MODELS = {
    "cohere": "cohere/rerank-4-fast",
    "voyage": "voyage/rerank-2.5-lite",
    "selfhosted": "selfhosted/bge-reranker-v2-m3",
}


def asking(
    provider: str, query: str = "red cable", documents: list[str] | None = None
) -> pb.RerankRequest:
    texts = DOCUMENTS if documents is None else documents
    return pb.RerankRequest(
        query=query,
        documents=[pb.RerankDocument(text=text) for text in texts],
        model=MODELS.get(provider, provider),
    )


@pytest.fixture
async def servers() -> AsyncIterator[dict[str, ScriptedServer]]:
    fakes = {"cohere": fake_cohere(), "voyage": fake_voyage(), "selfhosted": fake_tei()}
    for fake in fakes.values():
        await fake.start()
    yield fakes
    for fake in fakes.values():
        await fake.stop()


@pytest.fixture
async def running(start: Any, servers: dict[str, ScriptedServer]) -> Running:
    """llm-gateway with every hosted reranker, and no local model."""
    return await start(
        embed_workers=0,
        answer_model="anthropic/claude-haiku-5-5",
        anthropic_api_key="unused",
        cohere_api_key="right",
        cohere_base_url=servers["cohere"].url,
        voyage_api_key="right",
        voyage_base_url=f"{servers['voyage'].url}/v1",
        rerank_url=servers["selfhosted"].url,
        rerank_api_key="right",
    )


@pytest.fixture
def stub(running: Running) -> Any:
    return running.stub(LlmGatewayServiceStub, caller="retrieval")


class TestRerank:
    async def test_refuses_strangers(self, running: Running) -> None:
        method = "fleetdesk.llm_gateway.v1.LlmGatewayService.Rerank"
        await assert_refuses_strangers(running, method, asking("cohere"))

    @pytest.mark.parametrize(
        ("provider", "kind", "units", "amount_nanos"),
        [
            # One search at $2.00 per 1,000; 3 × 2 + 9 words at $0.02 per million; 3 pairs.
            ("cohere", "rerank_search", 1, 2_000_000),
            ("voyage", "rerank_token", 15, 300),
            ("selfhosted", "rerank_pair", 3, 3_000),
        ],
    )
    async def test_scores_in_the_order_asked_and_stands_on_the_ledger(
        self,
        provider: str,
        kind: str,
        units: int,
        amount_nanos: int,
        running: Running,
        stub: Any,
        as_background: As,
        tenant_id: UUID,
    ) -> None:
        with as_background(tenant_id):
            made = await stub.Rerank(asking(provider), timeout=10)
        assert list(made.scores) == [0.0, 1.0, 0.5]
        assert made.model == MODELS[provider]
        (row,) = await running.rows("select * from usage_entry")
        assert (row["service"], row["provider"]) == ("retrieval", provider)
        assert (row["kind"], row["units"], row["amount_nanos"]) == (kind, units, amount_nanos)
        assert row["status"] == "settled"
        (call,) = await running.rows("select * from usage_call")
        assert (call["operation"], call["status"]) == ("rerank", "settled")
        assert call["reserved_nanos"] >= amount_nanos

    async def test_pairs_scored_before_are_not_paid_for_again(
        self, running: Running, stub: Any, servers: Any, as_background: As, tenant_id: UUID
    ) -> None:
        request = asking("selfhosted", documents=[*DOCUMENTS, "red"])
        with as_background(tenant_id):
            await stub.Rerank(asking("selfhosted"), timeout=10)
            made = await stub.Rerank(request, timeout=10)
            again = await stub.Rerank(request, timeout=10)
        assert list(made.scores) == list(again.scores) == [0.0, 1.0, 0.5, 0.5]
        assert [body["texts"] for body in servers["selfhosted"].requests] == [DOCUMENTS, ["red"]]
        rows = await running.rows("select units from usage_entry order by units")
        assert [row["units"] for row in rows] == [1, 3]

    async def test_another_tenant_pays_for_its_own(
        self, stub: Any, servers: Any, as_background: As, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        for tenant in (tenant_id, other_tenant_id):
            with as_background(tenant):
                await stub.Rerank(asking("selfhosted"), timeout=10)
        assert len(servers["selfhosted"].requests) == 2

    async def test_a_self_hosted_server_gets_batches_that_it_takes(
        self, stub: Any, servers: Any, as_background: As, tenant_id: UUID
    ) -> None:
        documents = [f"red {number}" for number in range(99)] + ["red cable"]
        with as_background(tenant_id):
            made = await stub.Rerank(asking("selfhosted", documents=documents), timeout=10)
        assert list(made.scores) == [0.5] * 99 + [1.0]
        sizes = [len(body["texts"]) for body in servers["selfhosted"].requests]
        assert sizes == [MAX_BATCH] * 3 + [4]


FAILURES: list[tuple[Any, type[FleetError], str]] = [
    (Failure(429, "scripted", {"Retry-After": "7"}), ResourceExhausted, "PROVIDER_RATE_LIMITED"),
    (Failure(500, "scripted"), Unavailable, "PROVIDER_FAILED"),
    (Failure(503, "scripted"), Unavailable, "PROVIDER_OVERLOADED"),
    (Failure(401, "scripted"), FailedPrecondition, "PROVIDER_CREDENTIALS"),
    (Malformed(), Unavailable, "PROVIDER_MALFORMED"),
    (Malformed("{}"), Unavailable, "PROVIDER_MALFORMED"),
    (Reset(), Unavailable, "PROVIDER_UNREACHABLE"),
]


class TestFailures:
    @pytest.mark.parametrize("provider", list(MODELS))
    async def test_each_is_one_of_ours_and_is_not_tried_again(
        self, provider: str, stub: Any, servers: Any, as_background: As, tenant_id: UUID
    ) -> None:
        for number, (step, error, reason) in enumerate(FAILURES, start=1):
            servers[provider].script(step)
            with as_background(tenant_id), pytest.raises(error) as failed:
                await stub.Rerank(asking(provider), timeout=10)
            assert failed.value.reason == reason
            if error is ResourceExhausted:
                assert failed.value.retry_after_s == 7
            assert len(servers[provider].requests) == number

    @pytest.mark.parametrize("provider", list(MODELS))
    async def test_a_slow_one_ends_with_the_callers_deadline(
        self, provider: str, running: Running, stub: Any, servers: Any, as_background: As,
        tenant_id: UUID,
    ) -> None:  # fmt: skip
        servers[provider].script(Slow(30))
        with as_background(tenant_id), pytest.raises(DeadlineExceeded):
            await stub.Rerank(asking(provider), timeout=0.5)

        async def closed() -> bool:
            (call,) = await running.rows("select status from usage_call")
            return call["status"] != "open"

        assert await eventually(closed)

    async def test_a_refusal_costs_nothing_and_a_lost_answer_its_reservation(
        self, running: Running, stub: Any, servers: Any, as_background: As, tenant_id: UUID
    ) -> None:
        servers["cohere"].script(Failure(500, "scripted"), Reset())
        for _ in range(2):
            with as_background(tenant_id), pytest.raises(Unavailable):
                await stub.Rerank(asking("cohere"), timeout=10)
        calls = await running.rows("select status, failure from usage_call order by create_time")
        assert [(c["status"], c["failure"]) for c in calls] == [
            ("failed", "PROVIDER_FAILED"),
            ("unconfirmed", "PROVIDER_UNREACHABLE"),
        ]

    async def test_bad_requests_name_field_or_reason(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        for request, field in (
            (asking("cohere", query=" "), "query"),
            (asking("cohere", query="x" * 16_001), "query"),
            (asking("cohere", documents=[]), "documents"),
            (asking("cohere", documents=["x"] * 101), "documents"),
            (asking("cohere", documents=["x", ""]), "documents[1].text"),
            (asking("cohere", documents=["x" * 32_001]), "documents[0].text"),
        ):
            with as_background(tenant_id), pytest.raises(InvalidArgument) as refused:
                await stub.Rerank(request, timeout=10)
            assert refused.value.field == field
        for model, reason in (
            ("nobody/x", "PROVIDER_NOT_CONFIGURED"),
            ("cohere/", "PROVIDER_NOT_CONFIGURED"),
            ("cohere/rerank-0", "UNPRICED_MODEL"),
        ):
            with as_background(tenant_id), pytest.raises(FailedPrecondition) as unknown:
                await stub.Rerank(asking(model), timeout=10)
            assert unknown.value.reason == reason


class TestVoyageEmbeddings:
    def asking(self, kind: "pb.EmbedKind.ValueType", *texts: str) -> pb.EmbedRequest:
        return pb.EmbedRequest(texts=texts, kind=kind, model="voyage/voyage-4", token_vectors=True)

    async def test_queries_and_passages_are_told_apart_and_stand_on_the_ledger(
        self, running: Running, stub: Any, servers: Any, as_background: As, tenant_id: UUID
    ) -> None:
        with as_background(tenant_id):
            made = await stub.Embed(self.asking(pb.EMBED_KIND_PASSAGE, "a b", "c d e"), timeout=10)
            await stub.Embed(self.asking(pb.EMBED_KIND_QUERY, "a b"), timeout=10)
        assert made.model == "voyage/voyage-4@384"
        assert [len(e.values) for e in made.embeddings] == [384, 384]
        assert [list(e.values).index(1.0) for e in made.embeddings] == [3, 5]
        kinds = [body["input_type"] for body in servers["voyage"].requests]
        assert kinds == ["document", "query"]
        rows = await running.rows("select * from usage_entry order by create_time")
        found = [(row["kind"], row["units"], row["amount_nanos"]) for row in rows]
        assert found == [("embedding_token", 5, 300), ("embedding_token", 2, 120)]

    async def test_passages_wait_when_the_rate_is_limited_and_queries_do_not(
        self, stub: Any, servers: Any, as_background: As, tenant_id: UUID
    ) -> None:
        limited = Failure(429, "scripted", {"Retry-After": "0.05"})
        servers["voyage"].script(limited, limited)
        with as_background(tenant_id):
            await stub.Embed(self.asking(pb.EMBED_KIND_PASSAGE, "a b"), timeout=20)
            assert len(servers["voyage"].requests) == 3
            servers["voyage"].script(limited)
            with pytest.raises(ResourceExhausted):
                await stub.Embed(self.asking(pb.EMBED_KIND_QUERY, "a b"), timeout=20)
            servers["voyage"].script(Failure(429, "scripted", {"Retry-After": "3600"}))
            with pytest.raises(ResourceExhausted):
                await stub.Embed(self.asking(pb.EMBED_KIND_PASSAGE, "a b"), timeout=20)

    async def test_large_requests_are_split(
        self, stub: Any, servers: Any, as_background: As, tenant_id: UUID
    ) -> None:
        texts = ["x" * 31_000] * 7
        with as_background(tenant_id):
            made = await stub.Embed(self.asking(pb.EMBED_KIND_PASSAGE, *texts), timeout=20)
        assert len(made.embeddings) == 7
        assert [len(body["input"]) for body in servers["voyage"].requests] == [3, 3, 1]


class TestLateInteraction:
    async def test_orders_passages_by_the_token_vectors_that_embed_returned(
        self, start: Any, as_background: As, tenant_id: UUID
    ) -> None:
        running = await start()
        stub = running.stub(LlmGatewayServiceStub, caller="retrieval")
        texts = ["Refunds take five days.", "The red LED blinks twice when the battery is low."]
        request = pb.EmbedRequest(texts=texts, kind=pb.EMBED_KIND_PASSAGE, token_vectors=True)
        with as_background(tenant_id):
            embedded = (await stub.Embed(request, timeout=30)).embeddings
            documents = [
                pb.RerankDocument(text=text, token_vectors=given.token_vectors)
                for text, given in zip(texts, embedded, strict=True)
            ]
            query = "why does the light flash"
            made = await stub.Rerank(pb.RerankRequest(query=query, documents=documents), timeout=30)
            plain = pb.EmbedRequest(texts=texts, kind=pb.EMBED_KIND_PASSAGE)
            assert not (await stub.Embed(plain, timeout=30)).embeddings[0].token_vectors
            documents[0].ClearField("token_vectors")
            with pytest.raises(FailedPrecondition) as refused:
                await stub.Rerank(pb.RerankRequest(query=query, documents=documents), timeout=30)
            documents[0].token_vectors = b"x" * 35
            with pytest.raises(InvalidArgument) as unreadable:
                await stub.Rerank(pb.RerankRequest(query=query, documents=documents), timeout=30)
        assert made.model == "local/late-interaction"
        assert made.scores[1] > made.scores[0]
        assert refused.value.reason == "NO_TOKEN_VECTORS"
        assert unreadable.value.field == "documents[0].token_vectors"
        rows = await running.rows("select * from usage_entry where model = 'late-interaction'")
        assert {(row["kind"], row["status"]) for row in rows} == {("compute_us", "settled")}


class TestPairCache:
    def test_forgets_what_was_used_longest_ago(self, tenant_id: UUID) -> None:
        kept = PairCache(2)
        one, two, three = (pair_key(tenant_id, "m", "q", text) for text in ("1", "2", "3"))
        kept.put(one, 0.1)
        kept.put(two, 0.2)
        assert kept.get(one) == 0.1
        kept.put(three, 0.3)
        assert (kept.get(one), kept.get(two), kept.get(three)) == (0.1, None, 0.3)
        assert len(kept) == 2

    def test_texts_cannot_run_into_each_other(self, tenant_id: UUID) -> None:
        assert pair_key(tenant_id, "m", "ab", "c") != pair_key(tenant_id, "m", "a", "bc")
