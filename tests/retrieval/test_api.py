"""The RPCs of retrieval over a real channel: strangers first, then sources and documents."""

import asyncio
from uuid import uuid4

import pytest
from fleetdesk.retrieval.v1 import document_pb2, events_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetkit.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from harness.access import assert_refuses_strangers
from harness.waiting import eventually

from .conftest import Knowledge, stub_of, text

SERVICE = "fleetdesk.retrieval.v1.RetrievalService"
READY = document_pb2.DOCUMENT_STATUS_READY
FAILED = document_pb2.DOCUMENT_STATUS_FAILED
ARTICLE = "# Kettles\n\nDescale the kettle every month.\n\n## Parts\n\n- lid\n- filter\n"


class TestStrangers:
    async def test_are_refused_by_every_rpc(self, retrieval):
        for rpc, request in {
            "CreateSources": pb.CreateSourcesRequest(),
            "UploadSource": pb.UploadSourceRequest(),
            "GetSource": pb.GetSourceRequest(),
            "ListSources": pb.ListSourcesRequest(),
            "DeleteSource": pb.DeleteSourceRequest(),
            "SyncSource": pb.SyncSourceRequest(),
            "ListDocuments": pb.ListDocumentsRequest(),
            "GetDocument": pb.GetDocumentRequest(),
            "GetChunks": pb.GetChunksRequest(),
            "Search": pb.SearchRequest(query="x"),
            "GetIndex": pb.GetIndexRequest(),
            "ListConflicts": pb.ListConflictsRequest(),
            "SetEmbeddingModel": pb.SetEmbeddingModelRequest(),
        }.items():
            await assert_refuses_strangers(retrieval, f"{SERVICE}.{rpc}", request)


class TestAnotherTenant:
    async def test_sees_and_changes_nothing(self, knowledge, other_knowledge):
        source = await knowledge.add(ARTICLE)
        found = await knowledge.search("kettle")
        stub = other_knowledge.stub
        with other_knowledge.acting("owner"):
            for call, request in (
                (stub.GetSource, pb.GetSourceRequest(source_id=source.source_id)),
                (stub.DeleteSource, pb.DeleteSourceRequest(source_id=source.source_id)),
                (stub.SyncSource, pb.SyncSourceRequest(request_id="x", source_id=source.source_id)),
                (stub.GetDocument, pb.GetDocumentRequest(document_id=source.document_id)),
            ):
                with pytest.raises(NotFound):
                    await call(request)
            ids = [result.chunk_id for result in found.results]
            assert not (await stub.GetChunks(pb.GetChunksRequest(chunk_ids=ids))).chunks
            assert not (await stub.ListSources(pb.ListSourcesRequest())).sources
            assert not (await stub.ListDocuments(pb.ListDocumentsRequest())).documents
        assert (await knowledge.source(source.source_id)).status == READY

    async def test_keeps_its_own_external_ids_and_request_ids(self, knowledge, other_knowledge):
        (mine,) = await knowledge.create(text("one", external_id="a"), request_id="r")
        (theirs,) = await other_knowledge.create(text("two", external_id="a"), request_id="r")
        assert mine.source.source_id != theirs.source.source_id


class TestCreateSources:
    async def test_makes_a_source_that_becomes_ready(self, knowledge, retrieval):
        source = await knowledge.add(ARTICLE, external_id="k", url="https://x.test/k")
        assert source.status == READY
        assert source.title == "Kettles"
        assert source.media_type == "text/markdown"
        assert source.byte_count == len(ARTICLE)
        assert source.chunk_count == 1
        (event,) = await retrieval.events(events_pb2.KnowledgeChanged)
        assert event["documentId"] == source.document_id
        assert event["revision"] == "1"

    async def test_takes_a_text_with_a_passage_without_words(self, knowledge):
        source = await knowledge.add(f"Contents about kettles {'.' * 20_000}", title="It")
        assert source.status == READY
        assert source.chunk_count > 1

    async def test_takes_each_item_by_itself(self, knowledge):
        good, empty, binary, named, linked = await knowledge.create(
            text("A fine text."),
            text(""),
            text(b"\x89PNG\r\n\x1a\n\x00\x00"),
            text("x", external_id="x" * 513),
            text("x", url="javascript:alert(1)"),
        )
        assert good.source.source_id
        assert (empty.error_field, empty.error_reason) == ("content", "EMPTY_FILE")
        assert (binary.error_field, binary.error_reason) == ("content", "UNSUPPORTED_TYPE")
        assert "Word (DOCX)" in binary.error
        assert named.error_field == "external_id"
        assert linked.error_field == "url"

    async def test_refuses_a_content_over_its_limit(self, knowledge):
        (outcome,) = await knowledge.create(text(b"a" * (4 * 2**20 + 1)))
        assert outcome.error_reason == "TOO_LARGE"
        assert "4,194,304" in outcome.error

    async def test_answers_a_repeated_request_with_the_first_outcome(self, knowledge, retrieval):
        inputs = [text("A text."), text("")]
        first = await knowledge.create(*inputs, request_id="r1")
        again = await knowledge.create(*inputs, request_id="r1")
        assert again[0].source.source_id == first[0].source.source_id
        assert again[1].error_reason == "EMPTY_FILE"
        assert len(await retrieval.rows("select from source")) == 1
        with pytest.raises(AlreadyExists):
            await knowledge.create(text("Another text."), request_id="r1")

    async def test_does_the_same_once_when_asked_twice_at_once(self, knowledge, retrieval):
        both = await asyncio.gather(
            *(knowledge.create(text("A text."), request_id="r") for _ in range(2))
        )
        assert both[0][0].source.source_id == both[1][0].source.source_id
        assert len(await retrieval.rows("select from source")) == 1

    async def test_replaces_the_source_that_has_the_external_id(self, knowledge):
        former = await knowledge.add("Tea is served at four.", external_id="tea")
        latter = await knowledge.add("Tea is served at five.", external_id="tea")
        assert latter.source_id == former.source_id
        assert latter.document_id == former.document_id
        found = await knowledge.search("when is tea served")
        assert [result.text for result in found.results] == ["Tea is served at five."]
        assert found.knowledge_version == 2

    async def test_makes_nothing_of_a_content_that_is_there_already(
        self, knowledge, embeddings, tmp_path
    ):
        await knowledge.add("Tea is served at four.", external_id="tea")
        made = len(embeddings.texts)
        again = await knowledge.add("Tea is served at four.", external_id="tea")
        assert again.status == READY
        assert len(embeddings.texts) == made
        assert len(list((tmp_path / "blobs").rglob("originals/*"))) == 1

    async def test_embeds_only_the_passages_that_changed(self, knowledge, embeddings):
        parts = [f"## Part {n}\n\n" + f"Words about part {n}. " * 30 for n in range(6)]
        await knowledge.add("\n\n".join(parts), external_id="parts")
        before = len(embeddings.texts)
        parts[3] = parts[3].replace("Words", "Sentences")
        source = await knowledge.add("\n\n".join(parts), external_id="parts")
        assert 0 < len(embeddings.texts) - before < source.chunk_count

    @pytest.mark.parametrize(
        ("count", "request_id", "field"),
        [
            (0, "r", "sources"),
            (101, "r", "sources"),
            (1, "", "request_id"),
            (1, "r" * 129, "request_id"),
            (1, "r\0", "request_id"),
        ],
    )
    async def test_refuses_a_request_out_of_bounds(self, knowledge, count, request_id, field):
        request = pb.CreateSourcesRequest(request_id=request_id, sources=[text("x")] * count)
        with knowledge.acting(), pytest.raises(InvalidArgument) as caught:
            await knowledge.stub.CreateSources(request)
        assert caught.value.field == field


class TestUploadSource:
    async def test_takes_a_file_in_pieces(self, knowledge):
        source = await knowledge.upload(b"# Kett", b"les\n\nBoil ", b"water.", file_name="../k.bin")
        assert source.file_name == "k.bin"
        ready = await knowledge.ended(source.source_id)
        assert (ready.status, ready.media_type) == (READY, "text/markdown")

    async def test_stops_a_file_over_the_limit_and_keeps_nothing(
        self, fleet_service, embeddings, as_identity, tenant_id, tmp_path
    ):
        small = await fleet_service(
            "retrieval", llm_gateway_address=embeddings.address, max_upload_bytes=100_000
        )
        knowledge = Knowledge(stub_of(small), as_identity, tenant_id)
        with pytest.raises(ResourceExhausted) as caught:
            await knowledge.upload(*[b"a" * 30_000] * 10)
        assert caught.value.reason == "TOO_LARGE"
        assert "100,000" in caught.value.message
        assert not await small.rows("select from source")
        assert not list((tmp_path / "blobs").rglob("originals/*"))

    async def test_keeps_nothing_of_an_upload_that_breaks_off(self, knowledge, retrieval, tmp_path):
        async def requests():
            source = pb.SourceInput(type=document_pb2.SOURCE_TYPE_FILE)
            yield pb.UploadSourceRequest(header=pb.UploadHeader(request_id="r", source=source))
            yield pb.UploadSourceRequest(data=b"half of a ")
            raise ConnectionError

        with knowledge.acting(), pytest.raises(BaseException):  # noqa: B017, PT011
            await knowledge.stub.UploadSource(requests())
        assert not await retrieval.rows("select from source")
        assert not list((tmp_path / "blobs").rglob("originals/*"))

    async def test_refuses_a_stream_out_of_order(self, knowledge):
        async def requests():
            yield pb.UploadSourceRequest(data=b"no header")

        with knowledge.acting(), pytest.raises(InvalidArgument) as caught:
            await knowledge.stub.UploadSource(requests())
        assert caught.value.field == "header"

    async def test_refuses_an_empty_file_naming_the_field(self, knowledge):
        with pytest.raises(InvalidArgument) as caught:
            await knowledge.upload()
        assert (caught.value.field, caught.value.reason) == ("content", "EMPTY_FILE")


class TestListSources:
    async def test_pages_newest_first_and_counts_all(self, knowledge):
        for number in range(5):
            await knowledge.create(text(f"Text {number}", title=f"Title {number}"))
        pages, token = [], ""
        with knowledge.acting("viewer"):
            while True:
                request = pb.ListSourcesRequest(page_size=2, page_token=token)
                page = await knowledge.stub.ListSources(request)
                pages.append([source.title for source in page.sources])
                token = page.next_page_token
                if not token:
                    break
        assert pages == [["Title 4", "Title 3"], ["Title 2", "Title 1"], ["Title 0"]]
        assert sum(count.count for count in page.counts) == 5

    async def test_filters_by_name_and_state(self, knowledge):
        await knowledge.add("A text.", title="Kettle manual")
        await knowledge.add("A text.", external_id="KETTLE-2")
        await knowledge.add("A text.", title="100%_sure")
        broken = await knowledge.add(b"%PDF-1.4 broken", type=document_pb2.SOURCE_TYPE_FILE)
        with knowledge.acting("viewer"):

            async def listed(**fields):
                response = await knowledge.stub.ListSources(pb.ListSourcesRequest(**fields))
                return [source.title or source.source_id for source in response.sources]

            assert len(await listed(filter="kettle")) == 2
            assert await listed(filter="%_") == ["100%_sure"]
            assert await listed(statuses=[FAILED]) == [broken.title or broken.source_id]

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"page_size": 501}, "page_size"),
            ({"page_size": -1}, "page_size"),
            ({"page_token": "x"}, "page_token"),
            ({"filter": "a\0b"}, "filter"),
            ({"statuses": [document_pb2.DOCUMENT_STATUS_UNSPECIFIED]}, "statuses"),
        ],
    )
    async def test_refuses_what_makes_no_sense(self, knowledge, fields, field):
        with knowledge.acting(), pytest.raises(InvalidArgument) as caught:
            await knowledge.stub.ListSources(pb.ListSourcesRequest(**fields))
        assert caught.value.field == field


class TestDeleteSource:
    async def test_leaves_nothing_behind(self, knowledge, retrieval, tmp_path):
        kept = await knowledge.add("The shop is closed on Sundays.")
        source = await knowledge.add(ARTICLE)
        found = await knowledge.search("descale the kettle")
        assert await knowledge.delete(source.source_id) == 1
        for table in ("source", "document", "chunk", "chunk_embedding"):
            assert len(await retrieval.rows(f"select from {table}")) == 1
        assert not await retrieval.rows("select from posting_block where term = 'kettl'")
        assert len(list((tmp_path / "blobs").rglob("originals/*"))) == 1
        (stat,) = await retrieval.rows("select * from index_stat")
        assert stat["chunk_count"] == 1
        (length,) = await retrieval.rows("select sum(length) as total from chunk")
        assert stat["length_sum"] == length["total"]
        again = await knowledge.search("descale the kettle")
        assert [result.source_id for result in again.results] == [kept.source_id]
        assert again.knowledge_version == 3
        with knowledge.acting():
            chunk_ids = [r.chunk_id for r in found.results if r.source_id == source.source_id]
            assert not (
                await knowledge.stub.GetChunks(pb.GetChunksRequest(chunk_ids=chunk_ids))
            ).chunks
        event = (await retrieval.events(events_pb2.KnowledgeChanged))[-1]
        assert event["removed"]

    async def test_of_a_source_that_is_gone_says_so(self, knowledge):
        source = await knowledge.add("x y z")
        await knowledge.delete(source.source_id)
        with pytest.raises(NotFound):
            await knowledge.delete(source.source_id)
        with pytest.raises(InvalidArgument) as caught:
            await knowledge.delete("not-an-id")
        assert caught.value.field == "source_id"

    async def test_while_it_is_being_read_ends_the_reading(self, knowledge, embeddings, retrieval):
        embeddings.delay_s = 0.5
        (outcome,) = await knowledge.create(text(ARTICLE))
        source_id = outcome.source.source_id

        async def embedding():
            source = await knowledge.source(source_id)
            return source.status == document_pb2.DOCUMENT_STATUS_EMBEDDING

        await eventually(embedding)
        await knowledge.delete(source_id)

        async def idle():
            return not await retrieval.rows("select from job where kind = 'ingest'")

        await eventually(idle)
        assert not await retrieval.rows("select from chunk")
        assert not (await knowledge.search("kettle")).results


class TestSyncSource:
    async def test_reads_a_failed_source_again(self, knowledge):
        source = await knowledge.add(b"%PDF-1.4 broken", type=document_pb2.SOURCE_TYPE_FILE)
        assert (source.status, source.error_reason) == (FAILED, "BROKEN_PDF")
        with knowledge.acting():
            request = pb.SyncSourceRequest(request_id="s", source_id=source.source_id)
            queued = (await knowledge.stub.SyncSource(request)).source
            repeated = (await knowledge.stub.SyncSource(request)).source
        assert queued.status != READY
        assert repeated.source_id == queued.source_id
        assert (await knowledge.ended(source.source_id)).error_reason == "BROKEN_PDF"

    async def test_of_unchanged_text_makes_no_new_vectors(self, knowledge, embeddings):
        source = await knowledge.add(ARTICLE)
        made = len(embeddings.texts)
        with knowledge.acting():
            request = pb.SyncSourceRequest(request_id="s", source_id=source.source_id)
            await knowledge.stub.SyncSource(request)
        assert (await knowledge.ended(source.source_id)).status == READY
        assert len(embeddings.texts) == made

    async def test_of_an_unknown_source_says_so(self, knowledge):
        with knowledge.acting(), pytest.raises(NotFound):
            request = pb.SyncSourceRequest(request_id="s", source_id=str(uuid4()))
            await knowledge.stub.SyncSource(request)


class TestDocuments:
    async def test_are_listed_without_and_read_with_their_text(self, knowledge):
        source = await knowledge.add(ARTICLE, external_id="k")
        with knowledge.acting("viewer"):
            (listed,) = (await knowledge.stub.ListDocuments(pb.ListDocumentsRequest())).documents
            request = pb.GetDocumentRequest(document_id=source.document_id)
            read = (await knowledge.stub.GetDocument(request)).document
        assert (listed.document_id, listed.text) == (source.document_id, "")
        assert "Descale the kettle every month." in read.text
        assert (read.external_id, read.source_id) == ("k", source.source_id)

    async def test_of_unknown_ids_are_not_found(self, knowledge):
        with knowledge.acting(), pytest.raises(NotFound) as caught:
            await knowledge.stub.GetDocument(pb.GetDocumentRequest(document_id=str(uuid4())))
        assert caught.value.field == "document_id"


class TestGetChunks:
    async def test_keeps_the_order_asked_and_leaves_unknown_ones_out(self, knowledge):
        for body in ("One kettle.", "Two kettles.", "Three kettles."):
            await knowledge.add(body)
        ids = [result.chunk_id for result in (await knowledge.search("kettle")).results]
        asked = [ids[2], str(uuid4()), ids[0]]
        with knowledge.acting():
            got = (await knowledge.stub.GetChunks(pb.GetChunksRequest(chunk_ids=asked))).chunks
            assert [chunk.chunk_id for chunk in got] == [ids[2], ids[0]]
            with pytest.raises(InvalidArgument) as caught:
                request = pb.GetChunksRequest(chunk_ids=[str(uuid4())] * 101)
                await knowledge.stub.GetChunks(request)
        assert caught.value.field == "chunk_ids"
