"""The page of live experiments: begun, given another share, stopped, compared."""

from uuid import UUID

from fleetdesk.analytics.v1.analytics_service_pb2 import (
    GetExperimentFiguresRequest,
    GetExperimentFiguresResponse,
)
from fleetdesk.retrieval.v1 import experiment_service_pb2 as pb
from fleetkit.errors import FleetError
from fleetkit.ids import new_id
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.routes.pages.reading import asked, form_of
from gateway.routes.pages.showing import ADMINS, go, page, show
from gateway.views.experiments import SHARES, chosen, experiments_page
from gateway.views.format import sentence
from gateway.views.forms import Form

_PATH = "/knowledge/experiments"
_FIELDS = ("name", "fusion_version", "rerank_model")


@page("GET", _PATH)
async def get_experiments_page(request: GatewayRequest) -> Response:
    """The running experiment or the one asked for, the others, and the form for a new one."""
    return await _show(request, Form())


@page("POST", _PATH, ADMINS)
async def post_experiment_start(request: GatewayRequest) -> Response:
    """Begins one."""
    typed = await form_of(request, "name", "fusion_version", "rerank_model", "share")
    try:
        await call(
            parts_of(request).clients.experiments.StartExperiment,
            pb.StartExperimentRequest(
                request_id=str(new_id()),
                name=typed["name"],
                fusion_version=typed["fusion_version"],
                rerank_model=typed["rerank_model"],
                share_percent=_share(typed["share"]),
            ),
        )
    except FleetError as error:
        return await _show(request, Form(typed).refused(error, _FIELDS), problem_of(error).status)
    return go(_PATH, "It has begun.")


@page("POST", _PATH + "/{experiment_id:uuid}/share", ADMINS)
async def post_experiment_share(request: GatewayRequest, experiment_id: FromPath[UUID]) -> Response:
    """Gives it another share."""
    share = _share((await form_of(request, "share"))["share"])
    try:
        await call(
            parts_of(request).clients.experiments.SetExperimentShare,
            pb.SetExperimentShareRequest(experiment_id=str(experiment_id), share_percent=share),
        )
    except FleetError as error:
        return go(_PATH, sentence(error.message), "bad")
    return go(_PATH, f"{share} % of conversations try it from now on.")


@page("POST", _PATH + "/{experiment_id:uuid}/stop", ADMINS)
async def post_experiment_end(request: GatewayRequest, experiment_id: FromPath[UUID]) -> Response:
    """Ends it."""
    await call(
        parts_of(request).clients.experiments.StopExperiment,
        pb.StopExperimentRequest(experiment_id=str(experiment_id)),
    )
    return go(_PATH, "Stopped. Every search is as usual.")


async def _show(request: GatewayRequest, form: Form, status_code: int = 200) -> Response:
    parts = parts_of(request)
    found = await call(parts.clients.experiments.ListExperiments, pb.ListExperimentsRequest())
    shown = chosen(found, asked(request, "id"))
    figures = await _figures(request, shown.experiment_id) if shown else None
    return show(
        request,
        "knowledge",
        "knowledge/experiments.html",
        status_code=status_code,
        tab="experiments",
        view=experiments_page(found, shown, figures, parts.clock.now()),
        form=form,
        shares=SHARES,
    )


async def _figures(
    request: GatewayRequest, experiment_id: str
) -> GetExperimentFiguresResponse | None:
    """None while analytics is away: the experiment is still there to be stopped."""
    try:
        return await call(
            parts_of(request).clients.analytics.GetExperimentFigures,
            GetExperimentFiguresRequest(experiment_id=experiment_id),
        )
    except FleetError:
        return None


def _share(typed: str) -> int:
    return int(typed) if typed in SHARES else 0


HANDLERS: list[HTTPRouteHandler] = [
    get_experiments_page,
    post_experiment_start,
    post_experiment_share,
    post_experiment_end,
]
