"""Search: what is found, how it is scored, and what a query may be."""

from uuid import UUID, uuid4

import pytest
from fleetdesk.retrieval.v1 import document_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetdesk.retrieval.v1.retrieval_service_pb2_grpc import RetrievalServiceStub
from fleetkit.context import Attribution, attributed
from fleetkit.errors import InvalidArgument

RETURNS = "# Returns\n\nYou can return a kettle within thirty days with its receipt.\n"
WARRANTY = "# Warranty\n\nA toaster has two years of warranty against faulty heating coils.\n"
CODES = "# Error codes\n\nE-1042 means that the water tank of the kettle is empty.\n"


@pytest.fixture
async def shop(knowledge):
    for name, body in (("returns", RETURNS), ("warranty", WARRANTY), ("codes", CODES)):
        await knowledge.add(body, external_id=name, url=f"https://shop.test/{name}")
    return knowledge


class TestSearch:
    async def test_finds_the_passage_with_its_place_in_the_document(self, shop):
        response = await shop.search("how long is the warranty of a toaster")
        best = response.results[0]
        assert best.external_id == "warranty"
        assert best.url == "https://shop.test/warranty"
        assert best.title == "Warranty"
        assert list(best.heading_path) == ["Warranty"]
        with shop.acting():
            request = pb.GetDocumentRequest(document_id=best.document_id)
            document = (await shop.stub.GetDocument(request)).document
        assert document.text[best.start : best.end] == best.text
        assert 0 <= best.score <= 1
        assert not best.HasField("scores")
        assert response.knowledge_version == 3

    async def test_finds_an_error_code_by_its_exact_name(self, shop):
        response = await shop.search("E-1042", explain=True)
        best = response.results[0]
        assert best.external_id == "codes"
        assert best.scores.bm25_rank == 1
        assert best.scores.bm25 > 0
        assert best.scores.keyword == 1
        assert not response.results[-1].scores.HasField("keyword")

    async def test_finds_a_quoted_phrase_as_it_is_written(self, shop):
        await shop.add("The tank of the kettle: water it. Empty is the shop.", external_id="no")
        response = await shop.search('it says "water tank of the kettle"', explain=True)
        assert response.results[0].external_id == "codes"
        assert [r.external_id for r in response.results if r.scores.keyword] == ["codes"]

    async def test_finds_a_misspelt_word(self, shop, embeddings):
        embeddings.down = True
        response = await shop.search("waranty of a tosater")
        assert [result.external_id for result in response.results] == ["warranty"]

    async def test_explains_each_stage_when_asked(self, shop):
        response = await shop.search("toaster warranty", explain=True)
        best, last = response.results[0], response.results[-1]
        assert best.scores.dense_rank == 1
        assert best.scores.dense > 0.1
        assert best.scores.fused == best.score
        assert not last.scores.HasField("bm25_rank")

    async def test_returns_five_passages_unless_told_otherwise(self, shop):
        for number in range(5):
            await shop.add(f"The kettle in colour {number} costs {number} euros.")
        assert len((await shop.search("kettle", top_k=0)).results) == 5
        assert len((await shop.search("kettle", top_k=2)).results) == 2
        assert len((await shop.search("kettle", top_k=50)).results) == 8

    async def test_of_empty_knowledge_finds_nothing_and_says_so(self, knowledge):
        response = await knowledge.search("anything")
        assert list(response.results) == []
        assert response.relevance == 0
        assert response.knowledge_version == 0

    async def test_finds_nothing_of_another_tenant(self, shop, other_knowledge):
        await other_knowledge.add("Our café opens at eight.")
        response = await other_knowledge.search("toaster warranty")
        assert [result.text for result in response.results] == ["Our café opens at eight."]

    async def test_rests_on_words_alone_when_vectors_cannot_be_had(self, shop, embeddings):
        embeddings.down = True
        response = await shop.search("toaster warranty", explain=True)
        assert response.results[0].external_id == "warranty"
        assert not any(result.scores.HasField("dense") for result in response.results)
        assert response.relevance > 0
        assert response.vector_reason == "UNAVAILABLE"
        embeddings.down = False
        assert (await shop.search("toaster warranty")).vector_reason == ""

    async def test_does_not_wait_long_for_vectors(self, fleet_service, embeddings, shop, retrieval):
        hurried = await fleet_service(
            "retrieval",
            llm_gateway_address=embeddings.address,
            database=retrieval.database,
            query_embed_timeout_s=0.2,
        )
        embeddings.delay_s = 20.0
        stub = hurried.stub(RetrievalServiceStub, caller="gateway")
        with shop.acting():
            response = await stub.Search(pb.SearchRequest(query="toaster", explain=True), timeout=5)
        assert response.results[0].external_id == "warranty"
        assert not response.results[0].scores.HasField("dense")

    async def test_a_query_of_stop_words_alone_goes_by_vectors(self, shop):
        response = await shop.search("what is it", explain=True)
        assert len(response.results) == 3
        assert not any(result.scores.HasField("bm25") for result in response.results)

    @pytest.mark.parametrize(
        ("query", "top_k", "field"),
        [("x" * 100_000, 5, "query"), ("  ", 5, "query"), ("x", 51, "top_k"), ("x", -1, "top_k")],
    )
    async def test_refuses_what_is_out_of_bounds(self, shop, query, top_k, field):
        with pytest.raises(InvalidArgument) as caught:
            await shop.search(query, top_k)
        assert caught.value.field == field

    async def test_bears_any_text(self, shop):
        for query in ("\x00", "' or 1=1 --", "%_\\", "🙂" * 900, "(((((", "a" * 15_999):
            assert (await shop.search(query)).relevance < 1


class TestAttribution:
    async def test_a_search_of_its_own_has_the_purpose_search(self, shop, embeddings):
        embeddings.attributions.clear()
        await shop.search("toaster")
        assert [a.purpose for a in embeddings.attributions] == ["search"]

    async def test_a_search_in_a_turn_is_for_the_turn(
        self, shop, retrieval, embeddings, as_background
    ):
        embeddings.attributions.clear()
        stub = retrieval.stub(RetrievalServiceStub, caller="conversation")
        turn = Attribution(purpose="turn", message_id=uuid4(), conversation_id=uuid4())
        with as_background(shop.tenant_id), attributed(turn):
            await stub.Search(pb.SearchRequest(query="toaster"))
        assert embeddings.attributions == [turn]

    async def test_an_ingest_names_its_document(self, knowledge, embeddings):
        source = await knowledge.add(RETURNS)
        assert source.status == document_pb2.DOCUMENT_STATUS_READY
        assert {a.purpose for a in embeddings.attributions} == {"ingest"}
        ids = {a.knowledge_document_id for a in embeddings.attributions}
        assert ids == {UUID(source.document_id)}


class TestVisitors:
    async def test_may_search_and_read_passages(self, shop, retrieval, as_identity):
        stub = retrieval.stub(RetrievalServiceStub, caller="conversation")
        with as_identity(shop.tenant_id, kind="visitor", conversation_id=uuid4()):
            found = await stub.Search(pb.SearchRequest(query="toaster"))
            request = pb.GetChunksRequest(chunk_ids=[r.chunk_id for r in found.results])
            chunks = (await stub.GetChunks(request)).chunks
        assert [c.chunk_id for c in chunks] == [r.chunk_id for r in found.results]
