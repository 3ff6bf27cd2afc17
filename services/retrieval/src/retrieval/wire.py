"""Rows to protos and back."""

from collections.abc import Iterable, Mapping

from fleetdesk.retrieval.v1 import conflict_pb2 as pb_conflict
from fleetdesk.retrieval.v1 import document_pb2 as pb
from fleetdesk.retrieval.v1 import index_pb2 as pb_index
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb_service
from fleetkit.errors import InvalidArgument

from retrieval.index.reranking import Reordered
from retrieval.index.search import Found, Hit
from retrieval.knowledge.inputs import SourceInput
from retrieval.knowledge.models import IndexState
from retrieval.knowledge.requests import Outcome
from retrieval.store.conflicts import ConflictRow
from retrieval.store.rows import DocumentRow, PassageRow, SiteLimits, SiteProgress, SourceRow

_TYPES = {
    "file": pb.SOURCE_TYPE_FILE,
    "text": pb.SOURCE_TYPE_TEXT,
    "url": pb.SOURCE_TYPE_URL,
    "sitemap": pb.SOURCE_TYPE_SITEMAP,
    "crawl": pb.SOURCE_TYPE_CRAWL,
}
_STATUSES = {
    "queued": pb.DOCUMENT_STATUS_QUEUED,
    "fetching": pb.DOCUMENT_STATUS_FETCHING,
    "parsing": pb.DOCUMENT_STATUS_PARSING,
    "embedding": pb.DOCUMENT_STATUS_EMBEDDING,
    "ready": pb.DOCUMENT_STATUS_READY,
    "failed": pb.DOCUMENT_STATUS_FAILED,
}
_KINDS = {
    "duplicate": pb_conflict.CONFLICT_KIND_DUPLICATE,
    "contradiction": pb_conflict.CONFLICT_KIND_CONTRADICTION,
}
_KIND_NAMES: dict[int, str] = {0: ""} | {int(number): name for name, number in _KINDS.items()}
_TYPE_NAMES: dict[int, str] = {int(number): name for name, number in _TYPES.items()}
_STATUS_NAMES: dict[int, str] = {int(number): name for name, number in _STATUSES.items()}


def parse_statuses(statuses: Iterable[int]) -> list[str]:
    """Names of states; InvalidArgument for one that does not exist."""
    try:
        return [_STATUS_NAMES[status] for status in statuses]
    except KeyError as error:
        raise InvalidArgument("statuses has an unknown state", field="statuses") from error


def source_input(given: pb_service.SourceInput, content: bytes | None = None) -> SourceInput:
    """The input as given; `content` replaces that of the message."""
    return SourceInput(
        type=_TYPE_NAMES.get(given.type, ""),
        external_id=given.external_id,
        title=given.title,
        url=given.url,
        file_name=given.file_name,
        content=given.content if content is None else content,
        limits=SiteLimits(
            given.max_pages,
            given.max_depth,
            tuple(given.include_paths),
            tuple(given.exclude_paths),
        ),
    )


def source(row: SourceRow) -> pb.Source:
    """A source."""
    message = pb.Source(
        source_id=str(row.source_id),
        type=_TYPES[row.type],
        external_id=row.external_id,
        title=row.title,
        url=row.url,
        file_name=row.file_name,
        media_type=row.media_type,
        byte_count=row.byte_count,
        status=_STATUSES[row.status],
        error=row.error,
        error_reason=row.error_reason,
        document_id=str(row.document_id or ""),
        chunk_count=row.chunk_count,
        passage_count=row.passage_count,
        embedded_count=row.embedded_count,
        site=None if row.site is None else _site(row.site),
    )
    message.create_time.FromDatetime(row.create_time)
    message.update_time.FromDatetime(row.update_time)
    return message


def _site(row: SiteProgress) -> pb.Site:
    message = pb.Site(
        running=row.is_running,
        found_count=row.found,
        visited_count=row.visited,
        ready_count=row.ready,
        pending_count=row.pending,
        failed_count=row.failed,
        truncated=row.truncated,
        max_pages=row.max_pages,
        max_depth=row.max_depth,
        include_paths=row.include_paths,
        exclude_paths=row.exclude_paths,
        sync_every_s=row.sync_every_s,
    )
    for name in ("begin_time", "end_time", "next_sync_time"):
        if (time := getattr(row, name)) is not None:
            getattr(message, name).FromDatetime(time)
    return message


def document(row: DocumentRow) -> pb.Document:
    """A document, with its text where the row has it."""
    message = pb.Document(
        document_id=str(row.document_id),
        source_id=str(row.source_id),
        external_id=row.external_id,
        title=row.title,
        url=row.url,
        text=row.text,
        status=_STATUSES[row.status],
        error=row.error,
        chunk_count=row.chunk_count,
        media_type=row.media_type,
        language=row.language,
        embedding_count=row.embedding_count,
        embedded_count=row.embedded_count,
    )
    message.update_time.FromDatetime(row.update_time)
    return message


def outcome(item: Outcome) -> pb_service.SourceOutcome:
    """A source, or why it was refused."""
    if item.source is not None:
        return pb_service.SourceOutcome(source=source(item.source))
    error = item.error
    assert error is not None  # noqa: S101 - an outcome has one of the two
    return pb_service.SourceOutcome(
        error=error.message, error_reason=error.reason, error_field=error.field or ""
    )


def counts(by_status: Mapping[str, int]) -> list[pb_service.StatusCount]:
    """A count for every state, also for those without any."""
    return [
        pb_service.StatusCount(status=number, count=by_status.get(name, 0))
        for name, number in _STATUSES.items()
    ]


def passage(row: PassageRow) -> pb.SearchResult:
    """A chunk without scores."""
    return pb.SearchResult(
        chunk_id=str(row.chunk_id),
        document_id=str(row.document_id),
        source_id=str(row.source_id),
        external_id=row.external_id,
        title=row.title,
        url=row.url,
        heading_path=row.heading_path,
        text=row.text,
        start=row.span_start,
        end=row.span_end,
    )


def parse_kind(kind: int) -> str:
    """The name of a kind, "" for both; InvalidArgument for one that does not exist."""
    try:
        return _KIND_NAMES[kind]
    except KeyError as error:
        raise InvalidArgument("kind is an unknown one", field="kind") from error


def conflict(row: ConflictRow) -> pb_conflict.Conflict:
    """A pair of places."""
    message = pb_conflict.Conflict(
        conflict_id=str(row.conflict_id),
        kind=_KINDS[row.kind],
        reason=row.reason,
        score=row.score,
        one=pb_conflict.ConflictSide(
            chunk_id=str(row.chunk_id),
            document_id=str(row.document_id),
            title=row.title,
            url=row.url,
            text=row.text,
            start=row.span_start,
            end=row.span_end,
        ),
        other=pb_conflict.ConflictSide(
            chunk_id=str(row.other_chunk_id),
            document_id=str(row.other_document_id),
            title=row.other_title,
            url=row.other_url,
            text=row.other_text,
            start=row.other_span_start,
            end=row.other_span_end,
        ),
    )
    message.create_time.FromDatetime(row.create_time)
    if row.dismiss_time is not None:
        message.dismiss_time.FromDatetime(row.dismiss_time)
    return message


def index(state: IndexState) -> pb_index.KnowledgeIndex:
    """An index and the change of its model."""
    message = pb_index.KnowledgeIndex(
        embed_model=state.setting.embed_model,
        default_model=state.default_model,
        serving_model=state.stat.model,
        changing=state.is_changing,
        target_model=state.target_model,
        chunk_count=state.stat.chunk_count,
        embedded_count=state.embedded_count,
        error_reason=state.setting.error_reason,
        passage_tokens=state.passage_tokens,
        passage_us=state.passage_us,
    )
    if state.is_changing and state.setting.begin_time is not None:
        message.begin_time.FromDatetime(state.setting.begin_time)
    return message


def search_response(found: Found, *, explain: bool) -> pb_service.SearchResponse:
    """Passages with their scores."""
    reordered = found.reordered
    return pb_service.SearchResponse(
        results=[_result(hit, reordered, explain=explain) for hit in found.hits],
        relevance=found.relevance,
        knowledge_version=found.knowledge_version,
        reranked=reordered is not None and not reordered.reason,
        rerank_reason=reordered.reason if reordered else "",
        rerank_model=reordered.model if reordered else "",
        vector_reason=found.vector_reason,
    )


def _result(hit: Hit, reordered: Reordered | None, *, explain: bool) -> pb.SearchResult:
    message = passage(hit.passage)
    message.score = hit.ranked.fused
    if reordered is not None:
        message.score = reordered.final.get(hit.passage.chunk_no, hit.ranked.fused)
    if explain:
        message.scores.CopyFrom(_scores(hit, reordered))
    return message


def _scores(hit: Hit, reordered: Reordered | None) -> pb.Scores:
    candidate = hit.ranked.candidate
    return pb.Scores(
        rerank=reordered.scores.get(candidate.chunk_no) if reordered else None,
        dense=candidate.cosine,
        bm25=candidate.bm25 or None,
        keyword=candidate.keyword or None,
        fused=hit.ranked.fused,
        fused_rank=hit.fused_rank,
        dense_rank=candidate.dense_rank,
        bm25_rank=candidate.bm25_rank,
    )
