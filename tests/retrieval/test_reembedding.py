"""Another embedding model: chosen, embedded by in the background, gone over to at once."""

from typing import Any

import pytest
from fleetdesk.retrieval.v1 import events_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetkit.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from harness.waiting import eventually
from retrieval.knowledge import models

from .conftest import Knowledge, text

DEFAULT = "local/all-minilm-l6-v2"
OTHER = "local/other"
TEXTS = [f"Kettle number {n} boils in {n + 2} minutes." for n in range(12)]


async def choose(knowledge: Knowledge, model: str, role: str = "admin") -> Any:
    with knowledge.acting(role):
        request = pb.SetEmbeddingModelRequest(embed_model=model)
        return (await knowledge.stub.SetEmbeddingModel(request)).index


async def index_of(knowledge: Knowledge) -> Any:
    with knowledge.acting("viewer"):
        return (await knowledge.stub.GetIndex(pb.GetIndexRequest())).index


async def changed(knowledge: Knowledge, model: str, timeout_s: float = 30.0) -> Any:
    """The index once it serves by `model` and nothing changes any more."""

    async def check() -> Any:
        index = await index_of(knowledge)
        return index if index.serving_model == model and not index.changing else None

    return await eventually(check, timeout_s=timeout_s)


async def filled(knowledge: Knowledge) -> None:
    outcomes = await knowledge.create(*(text(body, title="Kettle") for body in TEXTS))
    for outcome in outcomes:
        await knowledge.ended(outcome.source.source_id)


async def cosine(knowledge: Knowledge) -> float | None:
    """The best passage's with a query of its very words: 1 less the title's part, none of a mix."""
    results = (await knowledge.search(TEXTS[7], explain=True)).results
    assert results[0].text == TEXTS[7]
    scores = results[0].scores
    return scores.dense if scores.HasField("dense") else None


@pytest.fixture
async def small_turns(make_knowledge: Any) -> Knowledge:
    """Passages one by one, turns of one passage."""
    return await make_knowledge(embed_batch_size=1, reembed_turn_s=0.001)


class TestChange:
    async def test_of_a_tenants_model_serves_by_the_former_until_all_is_there(
        self, small_turns, embeddings, retrieval
    ):
        knowledge = small_turns
        await filled(knowledge)
        before = await index_of(knowledge)
        assert (before.serving_model, before.chunk_count) == (f"{DEFAULT}@1", 12)
        assert (before.changing, before.embedded_count) == (False, 12)
        embeddings.held_model = OTHER
        chosen = await choose(knowledge, OTHER)
        assert (chosen.embed_model, chosen.target_model, chosen.changing) == (OTHER, OTHER, True)

        async def begun() -> bool:
            return 0 < (await index_of(knowledge)).embedded_count < 12

        await eventually(begun)
        index = await index_of(knowledge)
        assert (index.serving_model, index.changing) == (f"{DEFAULT}@1", True)
        assert (await cosine(knowledge) or 0) > 0.8
        embeddings.released.set()
        index = await changed(knowledge, f"{OTHER}@1")
        assert index.embedded_count == 12
        assert (await cosine(knowledge) or 0) > 0.8

    async def test_leaves_nothing_of_the_former_model(self, knowledge, retrieval, embeddings):
        await filled(knowledge)
        await choose(knowledge, OTHER)
        index = await changed(knowledge, f"{OTHER}@1")
        assert index.passage_tokens > 5
        # Told of a model that has embedded several at once, and kept beyond a restart.
        assert list(index.passage_us) == [OTHER]
        kept = await retrieval.rows("select round(passage_us)::int as us from model_speed")
        assert [row["us"] for row in kept] == [index.passage_us[OTHER]]

        async def tidy() -> bool:
            return not await retrieval.rows("select from job where kind = 'reembed'")

        await eventually(tidy)
        for table in ("chunk_embedding", "code_block", "chunk_tokens"):
            rows = await retrieval.rows(f"select distinct model from {table}")  # noqa: S608
            assert [row["model"] for row in rows] == [f"{OTHER}@1"]
        event = (await retrieval.events(events_pb2.KnowledgeChanged))[-1]
        assert "documentId" not in event
        assert event["revision"] == "13"
        await knowledge.search("kettle")
        embeddings.models.clear()
        await knowledge.search("kettle")
        assert embeddings.models == [OTHER]

    async def test_takes_along_what_comes_meanwhile(self, small_turns, embeddings):
        knowledge = small_turns
        await filled(knowledge)
        embeddings.delay_s = 0.05
        await choose(knowledge, OTHER)
        await knowledge.add("Tea is served at four.", external_id="tea")
        assert (await index_of(knowledge)).serving_model == f"{DEFAULT}@1"
        index = await changed(knowledge, f"{OTHER}@1")
        assert (index.chunk_count, index.embedded_count) == (13, 13)
        await knowledge.add("Coffee at nine.", external_id="tea")
        assert (await index_of(knowledge)).embedded_count == 13

    async def test_can_be_taken_back(self, small_turns, embeddings):
        knowledge = small_turns
        await filled(knowledge)
        embeddings.delay_s = 0.05
        await choose(knowledge, OTHER)
        assert not (await choose(knowledge, "")).changing
        embeddings.delay_s = 0.0
        index = await changed(knowledge, f"{DEFAULT}@1")
        assert index.embedded_count == 12

    async def test_of_the_deployments_model_reaches_each_tenant_that_chose_none(
        self, knowledge, other_knowledge, fleet_service, embeddings, retrieval
    ):
        await filled(knowledge)
        await choose(other_knowledge, DEFAULT)
        await other_knowledge.add("Tea is served at four.")
        await retrieval.stop()
        again = await fleet_service(
            "retrieval",
            llm_gateway_address=embeddings.address,
            database=retrieval.database,
            embed_model=OTHER,
        )
        await models.reembed_changed(again.db, OTHER)

        async def serving() -> bool:
            rows = await again.rows("select distinct model from index_stat order by model")
            return [row["model"] for row in rows] == [f"{DEFAULT}@1", f"{OTHER}@1"]

        await eventually(serving)


class TestVersions:
    async def test_another_one_of_the_same_model_is_found_out_by_a_search_or_an_ingest(
        self, knowledge, embeddings, retrieval
    ):
        await filled(knowledge)
        embeddings.version = "2"
        assert await cosine(knowledge) is None
        await changed(knowledge, f"{DEFAULT}@2")
        assert (await cosine(knowledge) or 0) > 0.8

        embeddings.version = "3"
        await knowledge.add("Tea is served at four.")
        assert (await changed(knowledge, f"{DEFAULT}@3")).embedded_count == 13


class TestTokenVectors:
    async def test_that_passages_lack_are_made(self, knowledge, embeddings, retrieval):
        embeddings.token_vectors = b""
        await filled(knowledge)
        assert not await retrieval.rows("select from chunk_tokens")
        embeddings.token_vectors = b"tokens"
        await models.reembed(retrieval.db, knowledge.tenant_id)

        async def all_there() -> bool:
            return len(await retrieval.rows("select from chunk_tokens")) == 12

        await eventually(all_there)
        assert (await index_of(knowledge)).serving_model == f"{DEFAULT}@1"


class TestChoose:
    async def test_refuses_what_does_not_embed_here(self, knowledge):
        for wrong, error in (("minilm", InvalidArgument), ("voyage/x", FailedPrecondition)):
            with pytest.raises(error) as caught:
                await choose(knowledge, wrong)
            assert caught.value.field == "embed_model"
        with pytest.raises(PermissionDenied):
            await choose(knowledge, OTHER, role="agent")
        assert (await index_of(knowledge)).embed_model == ""

    async def test_before_there_is_knowledge_holds_for_the_first(self, knowledge, other_knowledge):
        assert not (await choose(knowledge, OTHER)).changing
        assert (await index_of(other_knowledge)).embed_model == ""
        await knowledge.add(TEXTS[0])
        assert (await index_of(knowledge)).serving_model == f"{OTHER}@1"


class TestFailure:
    async def test_is_shown_and_the_former_model_serves_on(self, small_turns, embeddings):
        knowledge = small_turns
        await filled(knowledge)
        await choose(knowledge, OTHER)
        embeddings.down = True

        async def shown() -> Any:
            index = await index_of(knowledge)
            return index if index.error_reason else None

        index = await eventually(shown)
        assert (index.error_reason, index.changing) == ("UNAVAILABLE", True)
        embeddings.down = False
        index = await changed(knowledge, f"{OTHER}@1")
        assert index.error_reason == ""


class TestKill:
    @pytest.mark.timeout(180)
    async def test_minus_nine_in_the_middle_goes_on_where_it_was(
        self, processes, embeddings, as_identity, tenant_id
    ):
        knowledge = Knowledge(await processes.start(), as_identity, tenant_id)
        await filled(knowledge)
        embeddings.delay_s = 0.2
        await choose(knowledge, OTHER)

        async def half() -> bool:
            return (await index_of(knowledge)).embedded_count in range(3, 9)

        await eventually(half, timeout_s=30)
        await processes.kill()
        embeddings.delay_s = 0.0
        embeddings.texts.clear()
        knowledge = Knowledge(await processes.start(), as_identity, tenant_id)
        assert (await index_of(knowledge)).serving_model == f"{DEFAULT}@1"
        index = await changed(knowledge, f"{OTHER}@1", timeout_s=60)
        assert index.embedded_count == 12
        made = [given for given in embeddings.texts if given != "test"]
        assert 0 < len(made) < 11
        assert (await cosine(knowledge) or 0) > 0.8
