"""Reranking: the order it makes, what is said when there is none, and what never changes."""

import math
from typing import Any

import pytest
from fakes.embeddings import FakeEmbeddings
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from retrieval.index.ranking import Candidate, Ranked
from retrieval.index.reranking import combined

# All are found by "red cable"; the shorter one's words are further from it.
LONG = "The red cable fits the red socket and the red cable is long."
SHORT = "A red plug."


def found(response: Any) -> list[str]:
    return [result.text for result in response.results]


async def search(knowledge: Any, query: str, **fields: Any) -> Any:
    with knowledge.acting():
        return await knowledge.stub.Search(pb.SearchRequest(query=query, rerank=True, **fields))


class TestCombined:
    @staticmethod
    def ranked(*fused: float) -> list[Ranked]:
        return [Ranked(Candidate(no, None, 0, None, None), value) for no, value in enumerate(fused)]

    def test_alone_the_scores_decide_on_the_scale_of_the_fused_ones(self) -> None:
        final = combined(self.ranked(0.8, 0.5, 0.2), {0: 1.0, 1: 2.0, 2: 3.0}, None)
        assert [round(final[no], 3) for no in (2, 1, 0)] == [0.8, 0.5, 0.2]

    def test_with_a_weight_they_shift_the_fused_ones(self) -> None:
        final = combined(self.ranked(0.5, 0.5), {0: 0.4, 1: 0.6}, 2.5)
        assert math.isclose(math.log(final[1] / (1 - final[1])), 0.25)
        assert math.isclose(final[0] + final[1], 1)

    def test_equal_scores_change_nothing(self) -> None:
        for weight in (None, 2.5):
            final = combined(self.ranked(0.8, 0.2), {0: 0.3, 1: 0.3}, weight)
            assert final[0] >= final[1]


class TestSearch:
    @pytest.fixture
    async def searched(self, knowledge: Any) -> Any:
        await knowledge.add(LONG, title="Long")
        await knowledge.add(SHORT, title="Short")
        return knowledge

    async def test_a_model_without_a_weight_decides_alone(
        self, embeddings: FakeEmbeddings, make_knowledge: Any
    ) -> None:
        knowledge = await make_knowledge(rerank_model="cohere/rerank-4-fast")
        await knowledge.add(LONG, title="Long")
        await knowledge.add(SHORT, title="Short")
        assert found(await knowledge.search("red cable")) == [LONG, SHORT]
        response = await search(knowledge, "red cable", explain=True)
        assert found(response) == [SHORT, LONG]
        assert (response.reranked, response.rerank_reason) == (True, "")
        assert response.rerank_model == "cohere/rerank-4-fast"
        scores = [result.score for result in response.results]
        assert scores == sorted(scores, reverse=True)
        assert response.results[0].scores.rerank > response.results[1].scores.rerank
        (request,) = embeddings.reranked
        assert request.documents[0].text == f"Long\n{LONG}"
        assert not any(document.token_vectors for document in request.documents)

    async def test_the_local_model_gets_the_token_vectors_that_ingest_kept(
        self, searched: Any, embeddings: FakeEmbeddings
    ) -> None:
        response = await search(searched, "red cable", top_k=1)
        assert response.reranked
        assert len(response.results) == 1
        (request,) = embeddings.reranked
        assert [document.token_vectors for document in request.documents] == [b"tokens"] * 2

    async def test_passages_without_token_vectors_keep_the_fused_order(
        self, knowledge: Any, embeddings: FakeEmbeddings
    ) -> None:
        embeddings.token_vectors = b""
        await knowledge.add(LONG, title="Long")
        response = await search(knowledge, "red cable")
        assert found(response) == [LONG]
        assert (response.reranked, response.rerank_reason) == (False, "NO_TOKEN_VECTORS")
        assert embeddings.reranked == []

    async def test_a_sync_keeps_them(self, searched: Any, retrieval: Any) -> None:
        source = await searched.add(LONG, title="Long", external_id="a")
        before = await retrieval.rows("select count(*) as n from chunk_tokens")
        with searched.acting():
            request = pb.SyncSourceRequest(request_id="s", source_id=source.source_id)
            await searched.stub.SyncSource(request)
        await searched.ended(source.source_id)
        assert await retrieval.rows("select count(*) as n from chunk_tokens") == before
        await searched.delete(source.source_id)
        (left,) = await retrieval.rows("select count(*) as n from chunk_tokens")
        assert left["n"] == before[0]["n"] - 1


class TestFailures:
    async def test_a_slow_one_leaves_the_fused_order_and_is_left_alone_for_a_while(
        self, embeddings: FakeEmbeddings, make_knowledge: Any
    ) -> None:
        knowledge = await make_knowledge(rerank_timeout_s=0.05)
        await knowledge.add(LONG, title="Long")
        await knowledge.add(SHORT, title="Short")
        embeddings.rerank_delay_s = 30.0
        reasons: list[str] = []
        for _ in range(4):
            response = await search(knowledge, "red cable")
            assert found(response) == [LONG, SHORT]
            assert not response.reranked
            reasons.append(response.rerank_reason)
        assert reasons[-1] == "RERANK_PAUSED"
        assert "RERANK_PAUSED" not in reasons[:3]

    async def test_one_that_fails_leaves_it_too(
        self, knowledge: Any, embeddings: FakeEmbeddings
    ) -> None:
        await knowledge.add(LONG, title="Long")
        embeddings.down = True
        response = await search(knowledge, "red cable")
        assert found(response) == [LONG]
        assert (response.reranked, response.rerank_reason) == (False, "UNAVAILABLE")
