"""The pages of websites: added, followed, stopped, read again."""

from uuid import UUID

from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetkit.errors import FleetError, NotFound
from fleetkit.ids import new_id
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.clients import call
from gateway.knowledge import source_input, taken
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.routes.pages.reading import asked, form_of
from gateway.routes.pages.showing import EDITS, go, is_partial, page, show
from gateway.shapes.knowledge import SourceRequest
from gateway.views.format import sentence
from gateway.views.forms import Form
from gateway.views.websites import KINDS, SCHEDULES, WebsiteView, website_view

_PATHS = ("include_paths", "exclude_paths")
_FIELDS = ("url", "title", *_PATHS)


@page("GET", "/knowledge/website", EDITS)
async def get_website_form(request: GatewayRequest) -> Response:
    """The form for a website."""
    return _form(request, Form({"type": "crawl", "every": "86400"}))


@page("POST", "/knowledge/website", EDITS)
async def post_website(request: GatewayRequest) -> Response:
    """Takes a website as a source, and has it read."""
    typed = await form_of(request, "type", "every", *_FIELDS)
    kind = typed["type"] if typed["type"] in KINDS else "crawl"
    url = typed["url"].strip()
    if url and "://" not in url:
        url = f"https://{url}"
    given = SourceRequest(
        type=kind,
        url=url,
        title=typed["title"],
        include_paths=_paths(typed["include_paths"]),
        exclude_paths=_paths(typed["exclude_paths"]),
    )
    clients = parts_of(request).clients
    try:
        made = await call(
            clients.retrieval.CreateSources,
            pb.CreateSourcesRequest(request_id=str(new_id()), sources=[source_input(given, "")]),
        )
        source = taken(made.outcomes[0])
        if (every := _every(typed["every"])) > 0:
            await call(
                clients.retrieval.ScheduleSource,
                pb.ScheduleSourceRequest(source_id=source.source_id, sync_every_s=every),
            )
    except FleetError as error:
        return _form(request, Form(typed).refused(error, _FIELDS), problem_of(error).status)
    return go(f"/knowledge/websites/{source.source_id}", f"“{source.title}” is being read.")


@page("GET", "/knowledge/websites/{website_id:uuid}")
async def get_website(request: GatewayRequest, website_id: FromPath[UUID]) -> Response:
    """A website with its pages; for htmx what changes alone."""
    return await _show(request, website_id)


@page("POST", "/knowledge/websites/{website_id:uuid}/sync", EDITS)
async def post_website_sync(request: GatewayRequest, website_id: FromPath[UUID]) -> Response:
    """Reads the website again."""
    await call(
        parts_of(request).clients.retrieval.SyncSource,
        pb.SyncSourceRequest(request_id=str(new_id()), source_id=str(website_id)),
    )
    return go(f"/knowledge/websites/{website_id}", "It is being read again.")


@page("POST", "/knowledge/websites/{website_id:uuid}/cancel", EDITS)
async def post_website_cancel(request: GatewayRequest, website_id: FromPath[UUID]) -> Response:
    """Stops the reading where it stands."""
    await call(
        parts_of(request).clients.retrieval.CancelSource,
        pb.CancelSourceRequest(source_id=str(website_id)),
    )
    said = "Stopped. What was read before can still be found."
    return go(f"/knowledge/websites/{website_id}", said)


@page("POST", "/knowledge/websites/{website_id:uuid}/schedule", EDITS)
async def post_website_schedule(request: GatewayRequest, website_id: FromPath[UUID]) -> Response:
    """Says how often the website is read again."""
    every = (await form_of(request, "every"))["every"]
    path = f"/knowledge/websites/{website_id}"
    try:
        await call(
            parts_of(request).clients.retrieval.ScheduleSource,
            pb.ScheduleSourceRequest(source_id=str(website_id), sync_every_s=_every(every)),
        )
    except NotFound:
        raise
    except FleetError as error:
        return go(path, sentence(error.message), "bad")
    return go(path, f"It is read again: {SCHEDULES.get(every, SCHEDULES['0']).lower()}.")


@page("POST", "/knowledge/websites/{website_id:uuid}/paths", EDITS)
async def post_website_paths(request: GatewayRequest, website_id: FromPath[UUID]) -> Response:
    """Says which pages of the website are read, and has it read again."""
    typed = await form_of(request, *_PATHS)
    try:
        await call(
            parts_of(request).clients.retrieval.SetSourcePaths,
            pb.SetSourcePathsRequest(
                source_id=str(website_id),
                include_paths=_paths(typed["include_paths"]),
                exclude_paths=_paths(typed["exclude_paths"]),
            ),
        )
    except NotFound:
        raise
    except FleetError as error:
        form = Form(typed).refused(error, _PATHS)
        return await _show(request, website_id, form, problem_of(error).status)
    return go(f"/knowledge/websites/{website_id}", "It is being read again by these paths.")


def _form(request: GatewayRequest, form: Form, status_code: int = 200) -> Response:
    return show(
        request,
        "knowledge",
        "knowledge/add_website.html",
        status_code=status_code,
        form=form,
        kinds=KINDS,
        schedules=SCHEDULES,
    )


def _paths(typed: str) -> list[str]:
    """One beginning of a path a line."""
    return [line.strip() for line in typed.splitlines() if line.strip()]


def _every(typed: str) -> int:
    return int(typed) if typed in SCHEDULES else 0


async def _show(
    request: GatewayRequest, website_id: UUID, form: Form | None = None, status_code: int = 200
) -> Response:
    view = await _view(request, website_id)
    template = "knowledge/_website.html" if is_partial(request) else "knowledge/website.html"
    paths = form or Form({name: "\n".join(getattr(view, name)) for name in _PATHS})
    return show(request, "knowledge", template, status_code=status_code, view=view, form=paths)


async def _view(request: GatewayRequest, website_id: UUID) -> WebsiteView:
    parts = parts_of(request)
    found = await call(
        parts.clients.retrieval.GetSource, pb.GetSourceRequest(source_id=str(website_id))
    )
    if not found.source.HasField("site"):
        raise NotFound("there is no such website", field="source_id", reason="SOURCE_NOT_FOUND")
    page_token = asked(request, "page_token")
    documents = await call(
        parts.clients.retrieval.ListDocuments,
        # So that pages which are found meanwhile move none that one looks at.
        pb.ListDocumentsRequest(
            source_id=str(website_id), page_token=page_token, oldest_first=True
        ),
    )
    return website_view(found.source, documents, parts.clock.now(), page_token)


HANDLERS: list[HTTPRouteHandler] = [
    get_website_form,
    post_website,
    get_website,
    post_website_sync,
    post_website_cancel,
    post_website_schedule,
    post_website_paths,
]
