"""Live experiments of search."""

from uuid import UUID

from fleetdesk.analytics.v1.analytics_service_pb2 import GetExperimentFiguresRequest
from fleetdesk.retrieval.v1 import experiment_service_pb2 as pb
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.reading import request_id
from gateway.shapes.common import IdempotencyKey
from gateway.shapes.experiments import (
    Experiment,
    ExperimentFigures,
    ExperimentList,
    ExperimentRequest,
    ShareRequest,
)
from gateway.text import checked_name

_TAGS = ["Knowledge"]
_READ = Access(role=Role.VIEWER, scope="knowledge:read")
_WRITE = Access(role=Role.ADMIN, scope="knowledge:write")
_ACT = Access(role=Role.ADMIN, scope="knowledge:write", body="none")


@endpoint("GET", "/v1/knowledge/experiments", _READ, tags=_TAGS, summary="List experiments")
async def get_experiments(request: GatewayRequest) -> ExperimentList:
    """Experiments, newest first, and the fusions and rerankers that can be tried."""
    found = await call(
        parts_of(request).clients.experiments.ListExperiments, pb.ListExperimentsRequest()
    )
    return ExperimentList.of(found)


@endpoint(
    "POST",
    "/v1/knowledge/experiments",
    _WRITE,
    status_code=201,
    tags=_TAGS,
    summary="Try a fusion or reranker on a share of conversations",
)
async def post_experiment(
    request: GatewayRequest,
    data: JSONBody[ExperimentRequest],
    idempotency_key: IdempotencyKey = "",
) -> Experiment:
    """Begins one; one runs at a time (409)."""
    async with request_id(request, idempotency_key, data) as key:
        made = await call(
            parts_of(request).clients.experiments.StartExperiment,
            pb.StartExperimentRequest(
                request_id=str(key),
                name=checked_name(data.name, "name"),
                fusion_version=data.fusion_version,
                rerank_model=data.rerank_model,
                share_percent=data.share_percent,
            ),
        )
    return Experiment.of(made.experiment)


@endpoint(
    "PUT",
    "/v1/knowledge/experiments/{experiment_id:uuid}/share",
    _WRITE,
    tags=_TAGS,
    summary="Change the share of an experiment",
)
async def put_experiment_share(
    request: GatewayRequest, experiment_id: FromPath[UUID], data: JSONBody[ShareRequest]
) -> Experiment:
    """Conversations that tried it go on trying it when the share grows."""
    changed = await call(
        parts_of(request).clients.experiments.SetExperimentShare,
        pb.SetExperimentShareRequest(
            experiment_id=str(experiment_id), share_percent=data.share_percent
        ),
    )
    return Experiment.of(changed.experiment)


@endpoint(
    "POST",
    "/v1/knowledge/experiments/{experiment_id:uuid}/stop",
    _ACT,
    tags=_TAGS,
    summary="Stop an experiment",
)
async def post_experiment_stop(
    request: GatewayRequest, experiment_id: FromPath[UUID]
) -> Experiment:
    """All searches are as usual again."""
    stopped = await call(
        parts_of(request).clients.experiments.StopExperiment,
        pb.StopExperimentRequest(experiment_id=str(experiment_id)),
    )
    return Experiment.of(stopped.experiment)


@endpoint(
    "GET",
    "/v1/knowledge/experiments/{experiment_id:uuid}/figures",
    _READ,
    tags=_TAGS,
    summary="Compare the arms of an experiment",
)
async def get_experiment_figures(
    request: GatewayRequest, experiment_id: FromPath[UUID]
) -> ExperimentFigures:
    """What became of the turns of both arms; empty arms where none has ended."""
    found = await call(
        parts_of(request).clients.analytics.GetExperimentFigures,
        GetExperimentFiguresRequest(experiment_id=str(experiment_id)),
    )
    return ExperimentFigures.of(found)


HANDLERS: list[HTTPRouteHandler] = [
    get_experiments,
    post_experiment,
    put_experiment_share,
    post_experiment_stop,
    get_experiment_figures,
]
