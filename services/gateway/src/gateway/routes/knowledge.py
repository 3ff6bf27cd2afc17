"""Knowledge: sources in, documents and passages out."""

from typing import Annotated
from uuid import UUID

import msgspec
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetkit.errors import InvalidArgument, ResourceExhausted
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter

from gateway.access import Access, endpoint
from gateway.admission import CSRF_FIELD, CSRF_PENDING, check_csrf
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.knowledge import source_input, taken, upload_source
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import named_field
from gateway.routes.reading import request_id
from gateway.shapes.common import IdempotencyKey, IdPageToken, PageSize
from gateway.shapes.knowledge import (
    BatchItem,
    BatchRequest,
    BatchResponse,
    Document,
    DocumentList,
    ScheduleRequest,
    SearchRequest,
    SearchResponse,
    SearchResult,
    Source,
    SourceList,
    SourceRequest,
    StatusFilter,
    statuses_of,
)
from gateway.text import NO_CONTROLS_PATTERN, checked_text
from gateway.uploads import MAX_FORM_BYTES, read_upload

_TAGS = ["Knowledge"]
_READ = Access(role=Role.VIEWER, scope="knowledge:read")
_WRITE = Access(role=Role.AGENT, scope="knowledge:write", timeout_s=60)
_ACT = Access(role=Role.AGENT, scope="knowledge:write", body="none", timeout_s=30)
_UPLOAD = Access(role=Role.AGENT, scope="knowledge:write", body="upload", timeout_s=110)
_MAX_QUERY_BYTES = 16_000
_MAX_JSON_BYTES = 5 * 1024 * 1024

_Status = Annotated[
    StatusFilter | None,
    QueryParameter(name="status", description="`pending` is any state before ready or failed."),
]


@endpoint(
    "POST",
    "/v1/knowledge/sources",
    _UPLOAD,
    status_code=201,
    max_body_bytes=MAX_FORM_BYTES,
    tags=_TAGS,
    summary="Give a file, a text or a website",
)
async def post_source(request: GatewayRequest, idempotency_key: IdempotencyKey = "") -> Source:
    """Queues it to be read; follow its `status`.

    A file comes as a multipart form: fields `title`, `url`, `external_id` first, then `file`. A
    text or website comes as JSON. A known `external_id` replaces that source.
    """
    if request.content_type[0] == "multipart/form-data":
        return await _take_form(request, idempotency_key)
    data = await _text_of(request)
    async with request_id(request, idempotency_key, data) as key:
        return await _create_one(request, data, key)


@endpoint(
    "POST",
    "/v1/knowledge/sources:batch",
    _WRITE,
    max_body_bytes=_MAX_JSON_BYTES,
    tags=_TAGS,
    summary="Give several texts or websites",
)
async def post_batch(
    request: GatewayRequest, data: JSONBody[BatchRequest], idempotency_key: IdempotencyKey = ""
) -> BatchResponse:
    """Up to 100 texts or websites; each is taken or refused by itself."""
    inputs = [source_input(source, f"sources[{i}]") for i, source in enumerate(data.sources)]
    async with request_id(request, idempotency_key, data) as key:
        made = await call(
            parts_of(request).clients.retrieval.CreateSources,
            pb.CreateSourcesRequest(request_id=str(key), sources=inputs),
        )
    return BatchResponse([_batch_item(outcome) for outcome in made.outcomes])


@endpoint("GET", "/v1/knowledge/sources", _READ, tags=_TAGS, summary="List sources")
async def get_sources(
    request: GatewayRequest,
    status: _Status = None,
    containing: Annotated[
        str,
        QueryParameter(
            name="filter",
            max_length=200,
            description="Part of title, file name or external id.",
            schema_extra={"pattern": NO_CONTROLS_PATTERN},
        ),
    ] = "",
    page_size: PageSize = 50,
    page_token: IdPageToken = "",
) -> SourceList:
    """Sources, newest first, with counts over all states."""
    found = await call(
        parts_of(request).clients.retrieval.ListSources,
        pb.ListSourcesRequest(
            statuses=statuses_of(status),
            filter=containing,
            page_size=page_size,
            page_token=page_token,
        ),
    )
    return SourceList.of(found)


@endpoint(
    "GET", "/v1/knowledge/sources/{source_id:uuid}", _READ, tags=_TAGS, summary="Get a source"
)
async def get_source(request: GatewayRequest, source_id: FromPath[UUID]) -> Source:
    """A source with its state, and why it failed."""
    found = await call(
        parts_of(request).clients.retrieval.GetSource,
        pb.GetSourceRequest(source_id=str(source_id)),
    )
    return Source.of(found.source)


@endpoint(
    "DELETE",
    "/v1/knowledge/sources/{source_id:uuid}",
    _ACT,
    status_code=204,
    tags=_TAGS,
    summary="Delete a source",
)
async def delete_source(request: GatewayRequest, source_id: FromPath[UUID]) -> None:
    """Removes a source with its originals, documents, chunks and vectors."""
    # Not repeated: the second call would not find what the first has deleted.
    await parts_of(request).clients.retrieval.DeleteSource(
        pb.DeleteSourceRequest(source_id=str(source_id))
    )


@endpoint(
    "POST",
    "/v1/knowledge/sources/{source_id:uuid}/sync",
    _ACT,
    tags=_TAGS,
    summary="Read a source again",
)
async def post_sync(
    request: GatewayRequest, source_id: FromPath[UUID], idempotency_key: IdempotencyKey = ""
) -> Source:
    """Reads the original or website again; a retry for one that failed.

    Pages that have not changed are not made anew.
    """
    async with request_id(request, idempotency_key, None) as key:
        queued = await call(
            parts_of(request).clients.retrieval.SyncSource,
            pb.SyncSourceRequest(request_id=str(key), source_id=str(source_id)),
        )
    return Source.of(queued.source)


@endpoint(
    "POST",
    "/v1/knowledge/sources/{source_id:uuid}/cancel",
    _ACT,
    tags=_TAGS,
    summary="Stop reading a source",
)
async def post_source_cancel(request: GatewayRequest, source_id: FromPath[UUID]) -> Source:
    """Ends the reading; what could be found before still can."""
    stopped = await call(
        parts_of(request).clients.retrieval.CancelSource,
        pb.CancelSourceRequest(source_id=str(source_id)),
    )
    return Source.of(stopped.source)


@endpoint(
    "PUT",
    "/v1/knowledge/sources/{source_id:uuid}/schedule",
    _WRITE,
    tags=_TAGS,
    summary="Say how often a website is read again",
)
async def put_source_schedule(
    request: GatewayRequest, source_id: FromPath[UUID], data: JSONBody[ScheduleRequest]
) -> Source:
    """Reads a website again every so often; each run costs only what changed."""
    scheduled = await call(
        parts_of(request).clients.retrieval.ScheduleSource,
        pb.ScheduleSourceRequest(source_id=str(source_id), sync_every_s=data.sync_every_s),
    )
    return Source.of(scheduled.source)


@endpoint("GET", "/v1/knowledge/documents", _READ, tags=_TAGS, summary="List documents")
async def get_documents(
    request: GatewayRequest,
    status: _Status = None,
    source_id: Annotated[
        UUID | None, QueryParameter(name="source_id", description="Only those of this source.")
    ] = None,
    page_size: PageSize = 50,
    page_token: IdPageToken = "",
) -> DocumentList:
    """Documents without their text, newest first."""
    found = await call(
        parts_of(request).clients.retrieval.ListDocuments,
        pb.ListDocumentsRequest(
            statuses=statuses_of(status),
            page_size=page_size,
            page_token=page_token,
            source_id=str(source_id or ""),
        ),
    )
    items = [Document.of(document, with_text=False) for document in found.documents]
    return DocumentList(items, found.next_page_token)


@endpoint(
    "GET", "/v1/knowledge/documents/{document_id:uuid}", _READ, tags=_TAGS, summary="Get a document"
)
async def get_document(request: GatewayRequest, document_id: FromPath[UUID]) -> Document:
    """A document with its text, as citations' spans count it."""
    found = await call(
        parts_of(request).clients.retrieval.GetDocument,
        pb.GetDocumentRequest(document_id=str(document_id)),
    )
    return Document.of(found.document, with_text=True)


@endpoint("POST", "/v1/knowledge/search", _READ, tags=_TAGS, summary="Search")
async def post_search(request: GatewayRequest, data: JSONBody[SearchRequest]) -> SearchResponse:
    """The best passages for a query, and how likely they answer it."""
    found = await call(
        parts_of(request).clients.retrieval.Search,
        pb.SearchRequest(
            query=checked_text(data.query, "query", _MAX_QUERY_BYTES),
            top_k=data.top_k,
            explain=data.explain,
            rerank=data.rerank,
        ),
    )
    return SearchResponse(
        results=[SearchResult.of(result) for result in found.results],
        relevance=found.relevance,
        reranked=found.reranked,
        rerank_reason=found.rerank_reason,
        rerank_model=found.rerank_model,
        knowledge_version=found.knowledge_version,
    )


async def _take_form(request: GatewayRequest, idempotency_key: str) -> Source:
    def check(fields: dict[str, str]) -> None:
        if request.scope["state"].get(CSRF_PENDING):
            check_csrf(request.user, fields.get(CSRF_FIELD, ""))

    upload = await read_upload(request.headers["content-type"], request.stream(), check)
    facts = [upload.file_name, upload.fields]
    async with request_id(request, idempotency_key, facts, lease_s=_UPLOAD.timeout_s) as key:
        source = await upload_source(parts_of(request).clients, key, upload)
    return Source.of(source)


async def _create_one(request: GatewayRequest, data: SourceRequest, key: UUID) -> Source:
    made = await call(
        parts_of(request).clients.retrieval.CreateSources,
        pb.CreateSourcesRequest(request_id=str(key), sources=[source_input(data, "")]),
    )
    return Source.of(taken(made.outcomes[0]))


async def _text_of(request: GatewayRequest) -> SourceRequest:
    """The JSON body; this route's own limit is that of files."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_JSON_BYTES:
            raise ResourceExhausted(
                f"the body is larger than {_MAX_JSON_BYTES // 1024 // 1024} MiB: send a file",
                reason="BODY_TOO_LARGE",
            )
    try:
        return msgspec.json.decode(body, type=SourceRequest)
    except msgspec.ValidationError as error:
        raise InvalidArgument(str(error), field=named_field(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument("the body is not JSON", reason="MALFORMED_JSON") from error


def _batch_item(outcome: pb.SourceOutcome) -> BatchItem:
    if outcome.HasField("source"):
        return BatchItem(source=Source.of(outcome.source))
    return BatchItem(
        error=outcome.error,
        error_reason=outcome.error_reason or None,
        error_field=outcome.error_field or None,
    )


HANDLERS: list[HTTPRouteHandler] = [
    post_source,
    post_batch,
    get_sources,
    get_source,
    delete_source,
    post_sync,
    post_source_cancel,
    put_source_schedule,
    get_documents,
    get_document,
    post_search,
]
