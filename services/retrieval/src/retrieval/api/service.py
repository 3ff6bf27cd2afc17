"""RetrievalService: translate, call, translate."""

from collections.abc import AsyncIterator
from typing import Any

from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetdesk.retrieval.v1.retrieval_service_pb2_grpc import RetrievalServiceServicer
from fleetkit.context import tenant_id
from fleetkit.errors import InvalidArgument
from fleetkit.postgres import Database
from fleetkit.rpc.fields import to_optional_uuid, to_uuid

from retrieval import wire
from retrieval.config import Settings
from retrieval.experiments import Experiments
from retrieval.index.embedding import Embedder
from retrieval.index.search import Searcher
from retrieval.knowledge import conflicts, documents, models, sources
from retrieval.knowledge.inputs import MAX_INLINE_BYTES, SourceInput
from retrieval.knowledge.originals import Originals
from retrieval.knowledge.uploads import Uploads


class RetrievalApi(RetrievalServiceServicer):
    """One method per RPC, same name; access is the proto option's, enforced before."""

    def __init__(
        self,
        db: Database,
        originals: Originals,
        searcher: Searcher,
        embedder: Embedder,
        experiments: Experiments,
        settings: Settings,
    ) -> None:
        self._db = db
        self._originals = originals
        self._searcher = searcher
        self._embedder = embedder
        self._experiments = experiments
        self._default_model = settings.embed_model
        self._uploads = Uploads(
            settings.max_upload_bytes, settings.max_uploads, settings.upload_wait_s
        )

    async def CreateSources(
        self, request: pb.CreateSourcesRequest, context: Any
    ) -> pb.CreateSourcesResponse:
        inputs = [wire.source_input(given) for given in request.sources]
        outcomes = await sources.create_sources(
            self._db,
            self._originals,
            tenant_id(),
            request.request_id,
            inputs,
            max_content_bytes=MAX_INLINE_BYTES,
        )
        return pb.CreateSourcesResponse(outcomes=[wire.outcome(item) for item in outcomes])

    async def UploadSource(
        self, request_iterator: AsyncIterator[pb.UploadSourceRequest], context: Any
    ) -> pb.UploadSourceResponse:
        async with self._uploads.slot():
            header, given = await self._receive(request_iterator)
            (taken,) = await sources.create_sources(
                self._db,
                self._originals,
                tenant_id(),
                header.request_id,
                [given],
                max_content_bytes=self._uploads.max_bytes,
            )
        if taken.source is None:
            assert taken.error is not None  # noqa: S101 - an outcome has one of the two
            raise taken.error
        return pb.UploadSourceResponse(source=wire.source(taken.source))

    async def GetSource(self, request: pb.GetSourceRequest, context: Any) -> pb.GetSourceResponse:
        source_id = to_uuid(request.source_id, "source_id")
        row = await sources.get_source(self._db, tenant_id(), source_id)
        return pb.GetSourceResponse(source=wire.source(row))

    async def ListSources(
        self, request: pb.ListSourcesRequest, context: Any
    ) -> pb.ListSourcesResponse:
        page = await sources.list_sources(
            self._db,
            tenant_id(),
            statuses=wire.parse_statuses(request.statuses),
            containing=request.filter,
            before=to_optional_uuid(request.page_token, "page_token"),
            page_size=request.page_size,
        )
        return pb.ListSourcesResponse(
            sources=[wire.source(row) for row in page.rows],
            next_page_token=str(page.next_before or ""),
            counts=wire.counts(page.counts),
            document_counts=wire.counts(page.document_counts),
            passage_count=page.passages.passages,
            embedded_count=page.passages.embedded,
        )

    async def DeleteSource(
        self, request: pb.DeleteSourceRequest, context: Any
    ) -> pb.DeleteSourceResponse:
        source_id = to_uuid(request.source_id, "source_id")
        count = await sources.delete_source(self._db, self._originals, tenant_id(), source_id)
        return pb.DeleteSourceResponse(chunk_count=count)

    async def SyncSource(
        self, request: pb.SyncSourceRequest, context: Any
    ) -> pb.SyncSourceResponse:
        source_id = to_uuid(request.source_id, "source_id")
        row = await sources.sync_source(self._db, tenant_id(), request.request_id, source_id)
        return pb.SyncSourceResponse(source=wire.source(row))

    async def CancelSource(
        self, request: pb.CancelSourceRequest, context: Any
    ) -> pb.CancelSourceResponse:
        source_id = to_uuid(request.source_id, "source_id")
        row = await sources.cancel_source(self._db, tenant_id(), source_id)
        return pb.CancelSourceResponse(source=wire.source(row))

    async def ScheduleSource(
        self, request: pb.ScheduleSourceRequest, context: Any
    ) -> pb.ScheduleSourceResponse:
        source_id = to_uuid(request.source_id, "source_id")
        row = await sources.schedule_source(self._db, tenant_id(), source_id, request.sync_every_s)
        return pb.ScheduleSourceResponse(source=wire.source(row))

    async def SetSourcePaths(
        self, request: pb.SetSourcePathsRequest, context: Any
    ) -> pb.SetSourcePathsResponse:
        source_id = to_uuid(request.source_id, "source_id")
        paths = tuple(request.include_paths), tuple(request.exclude_paths)
        row = await sources.set_source_paths(self._db, tenant_id(), source_id, *paths)
        return pb.SetSourcePathsResponse(source=wire.source(row))

    async def ListDocuments(
        self, request: pb.ListDocumentsRequest, context: Any
    ) -> pb.ListDocumentsResponse:
        page = await documents.list_documents(
            self._db,
            tenant_id(),
            source_id=to_optional_uuid(request.source_id, "source_id"),
            statuses=wire.parse_statuses(request.statuses),
            after=to_optional_uuid(request.page_token, "page_token"),
            page_size=request.page_size,
            oldest_first=request.oldest_first,
        )
        return pb.ListDocumentsResponse(
            documents=[wire.document(row) for row in page.rows],
            next_page_token=str(page.next_after or ""),
        )

    async def GetDocument(
        self, request: pb.GetDocumentRequest, context: Any
    ) -> pb.GetDocumentResponse:
        document_id = to_uuid(request.document_id, "document_id")
        row = await documents.get_document(self._db, tenant_id(), document_id)
        return pb.GetDocumentResponse(document=wire.document(row))

    async def GetChunks(self, request: pb.GetChunksRequest, context: Any) -> pb.GetChunksResponse:
        chunk_ids = [to_uuid(chunk_id, "chunk_ids") for chunk_id in request.chunk_ids]
        rows = await documents.get_chunks(self._db, tenant_id(), chunk_ids)
        return pb.GetChunksResponse(chunks=[wire.passage(row) for row in rows])

    async def Search(self, request: pb.SearchRequest, context: Any) -> pb.SearchResponse:
        variant = await self._experiments.variant(tenant_id())
        found = await self._searcher.search(
            tenant_id(), request.query, request.top_k, rerank=request.rerank, variant=variant
        )
        return wire.search_response(found, explain=request.explain)

    async def ListConflicts(
        self, request: pb.ListConflictsRequest, context: Any
    ) -> pb.ListConflictsResponse:
        page = await conflicts.list_conflicts(
            self._db,
            tenant_id(),
            kind=wire.parse_kind(request.kind),
            dismissed=request.dismissed,
            before=to_optional_uuid(request.page_token, "page_token"),
            page_size=request.page_size,
        )
        return pb.ListConflictsResponse(
            conflicts=[wire.conflict(row) for row in page.rows],
            next_page_token=str(page.next_before or ""),
            open_count=page.counts.open,
            dismissed_count=page.counts.dismissed,
        )

    async def DismissConflict(
        self, request: pb.DismissConflictRequest, context: Any
    ) -> pb.DismissConflictResponse:
        conflict_id = to_uuid(request.conflict_id, "conflict_id")
        row = await conflicts.dismiss_conflict(self._db, tenant_id(), conflict_id)
        return pb.DismissConflictResponse(conflict=wire.conflict(row))

    async def RestoreConflict(
        self, request: pb.RestoreConflictRequest, context: Any
    ) -> pb.RestoreConflictResponse:
        conflict_id = to_uuid(request.conflict_id, "conflict_id")
        row = await conflicts.restore_conflict(self._db, tenant_id(), conflict_id)
        return pb.RestoreConflictResponse(conflict=wire.conflict(row))

    async def GetIndex(self, request: pb.GetIndexRequest, context: Any) -> pb.GetIndexResponse:
        state = await models.get_index(self._db, tenant_id(), self._default_model)
        return pb.GetIndexResponse(index=wire.index(state))

    async def SetEmbeddingModel(
        self, request: pb.SetEmbeddingModelRequest, context: Any
    ) -> pb.SetEmbeddingModelResponse:
        state = await models.choose_model(
            self._db, self._embedder, tenant_id(), request.embed_model, self._default_model
        )
        return pb.SetEmbeddingModelResponse(index=wire.index(state))

    async def _receive(
        self, requests: AsyncIterator[pb.UploadSourceRequest]
    ) -> tuple[pb.UploadHeader, SourceInput]:
        first = await anext(aiter(requests), None)
        if first is None or first.WhichOneof("piece") != "header":
            raise InvalidArgument("the first message of an upload is its header", field="header")
        if first.header.source.content:
            raise InvalidArgument("content comes after the header, as data", field="source.content")
        content = await self._uploads.gather(_data(requests))
        return first.header, wire.source_input(first.header.source, content)


async def _data(requests: AsyncIterator[pb.UploadSourceRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("piece") != "data":
            raise InvalidArgument("after its header an upload has data only", field="header")
        yield request.data
