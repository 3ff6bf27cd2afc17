"""Ingest: failures end in a sentence, interruptions in a whole document."""

from pathlib import Path

import pytest
from fleetdesk.retrieval.v1 import document_pb2, events_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetkit.ids import new_id
from harness.waiting import eventually
from retrieval.knowledge.originals import Originals

from .conftest import Evaluations, Knowledge, stub_of, text

READY = document_pb2.DOCUMENT_STATUS_READY
FAILED = document_pb2.DOCUMENT_STATUS_FAILED
FILE = document_pb2.SOURCE_TYPE_FILE


class TestFailures:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"%PDF-1.7\nbroken", "BROKEN_PDF"),
            (b"!!! ??? ...", "NO_TEXT"),
            (b"<?xml version='1.0'?><a/>", "UNSUPPORTED_TYPE"),
        ],
    )
    async def test_say_what_is_wrong(self, knowledge, retrieval, content, reason):
        source = await knowledge.add(content, type=FILE)
        assert (source.status, source.error_reason) == (FAILED, reason)
        assert source.error.endswith(".")
        assert source.chunk_count == 0
        (event,) = await retrieval.events(events_pb2.DocumentFailed)
        assert event["errorReason"] == reason
        assert not await retrieval.events(events_pb2.KnowledgeChanged)

    async def test_of_a_new_content_leave_the_former_one_in_place(self, knowledge):
        await knowledge.add("Tea is served at four.", external_id="tea")
        broken = await knowledge.add(b"%PDF-1.7\nbroken", external_id="tea", type=FILE)
        assert broken.status == FAILED
        found = await knowledge.search("tea")
        assert [result.text for result in found.results] == ["Tea is served at four."]

    async def test_of_the_model_are_tried_again(self, knowledge, embeddings):
        embeddings.down = True
        (outcome,) = await knowledge.create(text("Tea is served at four."))

        async def asked() -> bool:
            return len(embeddings.attributions) >= 2

        await eventually(asked)
        embeddings.down = False
        source = await knowledge.ended(outcome.source.source_id)
        assert source.status == READY

    async def test_that_last_end_in_a_sentence(
        self, fleet_service, embeddings, as_identity, tenant_id
    ):
        retrieval = await fleet_service(
            "retrieval", llm_gateway_address=embeddings.address, ingest_max_attempts=1
        )
        embeddings.down = True
        source = await Knowledge(stub_of(retrieval), as_identity, tenant_id).add("A text.")
        assert (source.status, source.error_reason) == (FAILED, "UNAVAILABLE")
        assert "sync" in source.error


class TestVersions:
    async def test_a_search_sees_the_former_document_until_the_new_one_is_whole(
        self, knowledge, embeddings
    ):
        body = "\n\n".join(f"## Part {n}\n\n" + "Tea at four. " * 40 for n in range(4))
        await knowledge.add(body, external_id="tea")
        embeddings.delay_s = 0.3
        (outcome,) = await knowledge.create(text(body.replace("four", "five"), external_id="tea"))
        seen: set[frozenset[bool]] = set()
        source_id = outcome.source.source_id
        while (await knowledge.source(source_id)).status != READY:
            embeddings.delay_s = 0.1
            results = (await knowledge.search("tea", top_k=50)).results
            seen.add(frozenset("five" in result.text for result in results))
        assert seen <= {frozenset({False}), frozenset({True})}
        results = (await knowledge.search("tea", top_k=50)).results
        assert all("five" in result.text for result in results)

    async def test_of_two_contents_in_a_row_the_last_one_stays(self, knowledge, embeddings):
        embeddings.delay_s = 0.2
        for hour in ("four", "five", "six"):
            (outcome,) = await knowledge.create(text(f"Tea at {hour}.", external_id="tea"))
        source_id = outcome.source.source_id

        async def last() -> bool:
            results = (await knowledge.search("tea")).results
            return [result.text for result in results] == ["Tea at six."]

        await eventually(last, timeout_s=20)
        assert (await knowledge.ended(source_id)).status == READY


class TestProgress:
    async def test_is_told_in_passages(self, make_knowledge, embeddings):
        knowledge = await make_knowledge(embed_batch_size=1)
        embeddings.delay_s = 0.05
        body = "\n\n".join(f"## Part {n}\n\n" + f"Tea at {n}. " * 40 for n in range(4))
        (outcome,) = await knowledge.create(text(body))
        counts, totals, counts_of_document = set(), set(), set()
        while (source := await knowledge.source(outcome.source.source_id)).status != READY:
            with knowledge.acting("viewer"):
                listed = await knowledge.stub.ListSources(pb.ListSourcesRequest())
                documents = (
                    await knowledge.stub.ListDocuments(pb.ListDocumentsRequest())
                ).documents
            counts.add((source.embedded_count, source.passage_count))
            totals.add((listed.embedded_count, listed.passage_count))
            counts_of_document.add((documents[0].embedded_count, documents[0].embedding_count))
        of = source.chunk_count
        assert (source.embedded_count, source.passage_count) == (of, of)
        for seen in (counts, totals, counts_of_document):
            assert seen & {(done, of) for done in range(1, of)}


class TestOriginals:
    async def test_of_a_broken_request_are_swept_away(self, knowledge, retrieval, tmp_path):
        originals = Originals(retrieval.db, retrieval.rt.blobs)
        await originals.put(knowledge.tenant_id, {new_id(): b"half a request"})
        assert len(blobs(tmp_path)) == 1
        await knowledge.add("A text that stays.")
        retrieval.advance(2 * 3600)

        async def swept() -> bool:
            return not await retrieval.rows("select from job")

        await eventually(swept)
        assert [path.read_bytes() for path in blobs(tmp_path)] == [b"A text that stays."]


def blobs(folder: Path) -> list[Path]:
    return list((folder / "blobs").rglob("originals/*"))


class TestKill:
    @pytest.mark.timeout(180)
    async def test_minus_nine_in_the_middle_is_made_good(
        self, processes, embeddings, as_identity, tenant_id
    ):
        embeddings.delay_s, embeddings.slow_word = 30.0, "slowly"
        knowledge = Knowledge(await processes.start(), as_identity, tenant_id)
        await knowledge.add("Coffee at nine.", title="Coffee")
        evaluations = Evaluations(processes.evaluations(), knowledge)
        given = await evaluations.create("question,document\nWhen?,Coffee\nHow slowly?,Coffee\n")
        body = "\n\n".join(f"## Part {n}\n\n" + "Tea slowly. " * 40 for n in range(6))
        outcomes = await knowledge.create(*(text(f"# Doc {n}\n\n{body}") for n in range(3)))

        async def embedding() -> bool:
            purposes = [attribution.purpose for attribution in embeddings.attributions]
            return purposes.count("ingest") > 1 and purposes.count("eval") == 2

        await eventually(embedding, timeout_s=30)
        await processes.kill()
        embeddings.delay_s = 0.0
        knowledge = Knowledge(await processes.start(), as_identity, tenant_id)
        evaluations = Evaluations(processes.evaluations(), knowledge)
        ended = await evaluations.ended(given.evaluation_id)
        assert (ended.done_count, len(ended.figures)) == (2, 4)
        # The question that was in its hands is asked again, and no other.
        assert embeddings.texts.count("When?") == 1
        for outcome in outcomes:
            source = await knowledge.ended(outcome.source.source_id, timeout_s=60)
            assert source.status == READY
            assert source.chunk_count >= 6
        found = await knowledge.search("tea slowly", top_k=50)
        assert len({result.document_id for result in found.results}) == 4
        assert found.knowledge_version == 4
