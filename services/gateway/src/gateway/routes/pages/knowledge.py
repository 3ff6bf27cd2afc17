"""The knowledge pages: documents given, followed, read again, deleted."""

from uuid import UUID

from fleetdesk.retrieval.v1 import document_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetkit.errors import FleetError
from fleetkit.ids import new_id
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.access import Access
from gateway.admission import CSRF_FIELD, CSRF_PENDING, check_csrf
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.knowledge import source_input, taken, upload_source
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.routes.pages.reading import asked, asked_of, form_of
from gateway.routes.pages.showing import EDITS, go, is_partial, page, show
from gateway.shapes.knowledge import SourceRequest
from gateway.uploads import MAX_FORM_BYTES, read_upload
from gateway.views.format import sentence
from gateway.views.forms import Form
from gateway.views.knowledge import (
    STATUS_FILTERS,
    SourceList,
    delete_source_view,
    is_confirmed,
    source_list,
)

_FIELDS = ("title", "url", "text")
_UPLOADS = Access(role=Role.AGENT, body="upload", timeout_s=110)


@page("GET", "/knowledge")
async def get_knowledge(request: GatewayRequest) -> Response:
    """The documents; for htmx the list alone."""
    view = await _list(request)
    template = "knowledge/_refresh.html" if is_partial(request) else "knowledge/list.html"
    return show(request, "knowledge", template, tab="documents", view=view)


@page("POST", "/knowledge/upload", _UPLOADS, max_body_bytes=MAX_FORM_BYTES)
async def post_upload(request: GatewayRequest) -> Response:
    """One file, from a browser without script; with script the page uses the API."""

    def check(fields: dict[str, str]) -> None:
        if request.scope["state"].get(CSRF_PENDING):
            check_csrf(request.user, fields.get(CSRF_FIELD, ""))

    try:
        upload = await read_upload(request.headers["content-type"], request.stream(), check)
        source = await upload_source(parts_of(request).clients, new_id(), upload)
    except FleetError as error:
        return go("/knowledge", sentence(error.message), "bad")
    return go("/knowledge", f"“{source.title or source.file_name}” is being read.")


@page("GET", "/knowledge/text", EDITS)
async def get_text(request: GatewayRequest) -> Response:
    """The form for a text."""
    return show(request, "knowledge", "knowledge/text.html", form=Form())


@page("POST", "/knowledge/text", EDITS)
async def post_text(request: GatewayRequest) -> Response:
    """Takes a text as a document."""
    typed = await form_of(request, *_FIELDS)
    given = SourceRequest(type="text", title=typed["title"], url=typed["url"], text=typed["text"])
    try:
        made = await call(
            parts_of(request).clients.retrieval.CreateSources,
            pb.CreateSourcesRequest(request_id=str(new_id()), sources=[source_input(given, "")]),
        )
        source = taken(made.outcomes[0])
    except FleetError as error:
        form = Form(typed).refused(error, _FIELDS)
        status_code = problem_of(error).status
        return show(request, "knowledge", "knowledge/text.html", status_code=status_code, form=form)
    return go("/knowledge", f"“{source.title or 'The text'}” is being read.")


@page("POST", "/knowledge/sources/{source_id:uuid}/retry", EDITS)
async def post_retry(request: GatewayRequest, source_id: FromPath[UUID]) -> Response:
    """Reads the original again."""
    queued = await call(
        parts_of(request).clients.retrieval.SyncSource,
        pb.SyncSourceRequest(request_id=str(new_id()), source_id=str(source_id)),
    )
    title = queued.source.title or queued.source.file_name
    return go("/knowledge", f"“{title}” is being read again.")


@page("GET", "/knowledge/sources/{source_id:uuid}/delete", EDITS)
async def get_delete(request: GatewayRequest, source_id: FromPath[UUID]) -> Response:
    """Asks whether to delete, and says what goes."""
    view = delete_source_view(await _source(request, source_id))
    return show(request, "knowledge", "knowledge/delete.html", view=view)


@page("POST", "/knowledge/sources/{source_id:uuid}/delete", EDITS)
async def post_delete(request: GatewayRequest, source_id: FromPath[UUID]) -> Response:
    """Deletes once its name was typed."""
    source = await _source(request, source_id)
    view = delete_source_view(source)
    typed = await form_of(request, "confirm")
    if not is_confirmed(view.phrase, typed["confirm"]):
        error = f"Type “{view.phrase}” to delete it; nothing was deleted."
        return show(
            request,
            "knowledge",
            "knowledge/delete.html",
            status_code=400,
            view=delete_source_view(source, error),
        )
    gone = await parts_of(request).clients.retrieval.DeleteSource(
        pb.DeleteSourceRequest(source_id=str(source_id))
    )
    passages = f"its {gone.chunk_count} passages" if gone.chunk_count != 1 else "its one passage"
    return go("/knowledge", f"“{view.title}” was deleted with {passages}.")


async def _list(request: GatewayRequest) -> SourceList:
    status = asked_of(request, "status", STATUS_FILTERS)
    needle, page_token = asked(request, "filter")[:200], asked(request, "page_token")
    parts = parts_of(request)
    found = await call(
        parts.clients.retrieval.ListSources,
        pb.ListSourcesRequest(
            statuses=STATUS_FILTERS[status], filter=needle, page_token=page_token
        ),
    )
    return source_list(
        found,
        parts.clock.now(),
        status=status,
        needle=needle,
        page_token=page_token,
        sort=asked(request, "sort"),
        descending=asked(request, "dir") == "desc",
    )


async def _source(request: GatewayRequest, source_id: UUID) -> document_pb2.Source:
    found = await call(
        parts_of(request).clients.retrieval.GetSource,
        pb.GetSourceRequest(source_id=str(source_id)),
    )
    return found.source


HANDLERS: list[HTTPRouteHandler] = [
    get_knowledge,
    post_upload,
    get_text,
    post_text,
    post_retry,
    get_delete,
    post_delete,
]
