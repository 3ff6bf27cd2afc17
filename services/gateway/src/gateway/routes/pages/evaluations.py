"""The pages of evaluations: asked for, followed, compared, deleted."""

import asyncio
from uuid import UUID

from fleetdesk.retrieval.v1 import evaluation_service_pb2 as pb
from fleetkit.errors import FleetError, InvalidArgument
from fleetkit.ids import new_id
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.access import Access
from gateway.admission import CSRF_FIELD, CSRF_PENDING, check_csrf
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.evaluations import create_from
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.routes.pages.reading import asked, asked_of, form_of
from gateway.routes.pages.showing import EDITS, go, is_partial, page, show
from gateway.uploads import Upload, read_upload
from gateway.views.evaluations import ARMS, RunView, run_before, run_list, run_view
from gateway.views.format import sentence
from gateway.views.forms import Form
from gateway.views.knowledge import confirmation, is_confirmed

_PATH = "/knowledge/evaluations"
_MAX_FILE_BYTES = 2**20
_UPLOADS = Access(role=Role.AGENT, body="upload", timeout_s=60)
_SHOWS = ("", "all")
_QUESTIONS_A_PAGE = 25
# As many as are kept.
_RUNS = 100


@page("GET", _PATH)
async def get_runs(request: GatewayRequest) -> Response:
    """The runs, and the form for another; for htmx what changes alone."""
    return await _show_runs(request, Form())


@page("POST", _PATH, _UPLOADS, max_body_bytes=2 * _MAX_FILE_BYTES)
async def post_run(request: GatewayRequest) -> Response:
    """Queues a run over the questions of a file."""

    def check(fields: dict[str, str]) -> None:
        if request.scope["state"].get(CSRF_PENDING):
            check_csrf(request.user, fields.get(CSRF_FIELD, ""))

    typed: dict[str, str] = {}
    try:
        upload = await read_upload(request.headers["content-type"], request.stream(), check)
        typed = upload.fields
        name = typed.get("name", "").strip() or upload.file_name.rpartition(".")[0]
        content = await _whole(upload)
        made = await create_from(parts_of(request).clients, new_id(), name[:100], content)
    except FleetError as error:
        form = Form(typed).refused(error, ("name",))
        return await _show_runs(request, form, problem_of(error).status)
    return go(f"{_PATH}/{made.evaluation_id}")


@page("GET", _PATH + "/{evaluation_id:uuid}")
async def get_run(request: GatewayRequest, evaluation_id: FromPath[UUID]) -> Response:
    """A run with its figures and missed questions; for htmx what changes alone."""
    view = await _view(request, evaluation_id)
    template = "knowledge/_evaluation.html" if is_partial(request) else "knowledge/evaluation.html"
    return show(request, "knowledge", template, tab="evaluations", view=view)


@page("POST", _PATH + "/{evaluation_id:uuid}/again", EDITS)
async def post_run_again(request: GatewayRequest, evaluation_id: FromPath[UUID]) -> Response:
    """Asks the same questions once more."""
    try:
        made = await create_from(
            parts_of(request).clients, new_id(), "", b"", from_id=evaluation_id
        )
    except FleetError as error:
        return go(f"{_PATH}/{evaluation_id}", sentence(error.message), "bad")
    return go(f"{_PATH}/{made.evaluation_id}?baseline={evaluation_id}")


@page("POST", _PATH + "/{evaluation_id:uuid}/cancel", EDITS)
async def post_run_cancel(request: GatewayRequest, evaluation_id: FromPath[UUID]) -> Response:
    """Stops it before its next question."""
    await call(
        parts_of(request).clients.evaluations.CancelEvaluation,
        pb.CancelEvaluationRequest(evaluation_id=str(evaluation_id)),
    )
    return go(f"{_PATH}/{evaluation_id}", "Stopped. What was found until then is kept.")


@page("GET", _PATH + "/{evaluation_id:uuid}/delete", EDITS)
async def get_run_delete(request: GatewayRequest, evaluation_id: FromPath[UUID]) -> Response:
    """Asks whether to delete, and says what goes."""
    return await _show_delete(request, evaluation_id)


@page("POST", _PATH + "/{evaluation_id:uuid}/delete", EDITS)
async def post_run_delete(request: GatewayRequest, evaluation_id: FromPath[UUID]) -> Response:
    """Deletes once its name was typed."""
    name = (await _get(request, evaluation_id)).evaluation.name
    phrase = confirmation(name)
    if not is_confirmed(phrase, (await form_of(request, "confirm"))["confirm"]):
        error = f"Type “{phrase}” to delete it; nothing was deleted."
        return await _show_delete(request, evaluation_id, error, 400)
    await parts_of(request).clients.evaluations.DeleteEvaluation(
        pb.DeleteEvaluationRequest(evaluation_id=str(evaluation_id))
    )
    return go(_PATH, f"“{name}” was deleted.")


async def _whole(upload: Upload) -> bytes:
    """The file, as far as it may be long."""
    content = bytearray()
    async for piece in upload.content:
        content += piece
        if len(content) > _MAX_FILE_BYTES:
            raise InvalidArgument(
                "the file is larger than 1 MiB: use at most 1,000 questions", field="file"
            )
    return bytes(content)


async def _show_runs(request: GatewayRequest, form: Form, status_code: int = 200) -> Response:
    parts, page_token = parts_of(request), asked(request, "page_token")
    found = await call(
        parts.clients.evaluations.ListEvaluations, pb.ListEvaluationsRequest(page_token=page_token)
    )
    view = run_list(found, parts.clock.now(), page_token)
    partial = is_partial(request)
    template = "knowledge/_evaluations.html" if partial else "knowledge/evaluations.html"
    return show(
        request,
        "knowledge",
        template,
        status_code=status_code,
        tab="evaluations",
        view=view,
        form=form,
    )


async def _show_delete(
    request: GatewayRequest, evaluation_id: UUID, error: str = "", status_code: int = 200
) -> Response:
    run = (await _get(request, evaluation_id)).evaluation
    return show(
        request,
        "knowledge",
        "knowledge/delete_evaluation.html",
        status_code=status_code,
        run=run,
        phrase=confirmation(run.name),
        error=error,
    )


async def _get(
    request: GatewayRequest, evaluation_id: UUID, baseline: str = ""
) -> pb.GetEvaluationResponse:
    return await call(
        parts_of(request).clients.evaluations.GetEvaluation,
        pb.GetEvaluationRequest(
            evaluation_id=str(evaluation_id), baseline_evaluation_id=_id(baseline)
        ),
    )


async def _view(request: GatewayRequest, evaluation_id: UUID) -> RunView:
    parts = parts_of(request)
    arm = asked_of(request, "arm", ARMS, "reranked")
    only_missed = asked_of(request, "show", _SHOWS) == ""
    page_token = asked(request, "page_token")
    runs = await call(
        parts.clients.evaluations.ListEvaluations, pb.ListEvaluationsRequest(page_size=_RUNS)
    )
    baseline = asked(request, "baseline") or run_before(runs.evaluations, str(evaluation_id))
    found, questions = await asyncio.gather(
        _get(request, evaluation_id, baseline),
        call(
            parts.clients.evaluations.ListEvaluationQuestions,
            pb.ListEvaluationQuestionsRequest(
                evaluation_id=str(evaluation_id),
                arm=ARMS[arm][1],
                only_missed=only_missed,
                page_size=_QUESTIONS_A_PAGE,
                page_token=page_token,
            ),
        ),
    )
    return run_view(
        found,
        questions,
        runs.evaluations,
        parts.clock.now(),
        arm=arm,
        only_missed=only_missed,
        page_token=page_token,
    )


def _id(text: str) -> str:
    """An id as it stands in an address; "" for what is none."""
    try:
        return str(UUID(text))
    except ValueError:
        return ""


HANDLERS: list[HTTPRouteHandler] = [
    get_runs,
    post_run,
    get_run,
    post_run_again,
    post_run_cancel,
    get_run_delete,
    post_run_delete,
]
