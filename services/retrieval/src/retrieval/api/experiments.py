"""ExperimentService: translate, call, translate."""

from typing import Any

from fleetdesk.retrieval.v1 import experiment_service_pb2 as pb
from fleetdesk.retrieval.v1.experiment_service_pb2_grpc import ExperimentServiceServicer
from fleetkit.context import tenant_id
from fleetkit.rpc.fields import to_uuid

from retrieval.experiments import Experiments, Trial
from retrieval.store.experiments import ExperimentRow


class ExperimentApi(ExperimentServiceServicer):
    """One method per RPC, same name; access is the proto option's, enforced before."""

    def __init__(self, experiments: Experiments, usual_fusion_version: str) -> None:
        self._experiments = experiments
        self._usual = usual_fusion_version

    async def StartExperiment(
        self, request: pb.StartExperimentRequest, context: Any
    ) -> pb.StartExperimentResponse:
        trial = Trial(
            request.name, request.fusion_version, request.rerank_model, request.share_percent
        )
        row = await self._experiments.start(tenant_id(), request.request_id, trial)
        return pb.StartExperimentResponse(experiment=to_experiment(row))

    async def SetExperimentShare(
        self, request: pb.SetExperimentShareRequest, context: Any
    ) -> pb.SetExperimentShareResponse:
        experiment_id = to_uuid(request.experiment_id, "experiment_id")
        row = await self._experiments.set_share(tenant_id(), experiment_id, request.share_percent)
        return pb.SetExperimentShareResponse(experiment=to_experiment(row))

    async def StopExperiment(
        self, request: pb.StopExperimentRequest, context: Any
    ) -> pb.StopExperimentResponse:
        experiment_id = to_uuid(request.experiment_id, "experiment_id")
        row = await self._experiments.stop(tenant_id(), experiment_id)
        return pb.StopExperimentResponse(experiment=to_experiment(row))

    async def ListExperiments(
        self, request: pb.ListExperimentsRequest, context: Any
    ) -> pb.ListExperimentsResponse:
        rows = await self._experiments.list_experiments(tenant_id())
        return pb.ListExperimentsResponse(
            experiments=[to_experiment(row) for row in rows],
            fusion_versions=self._experiments.fusion_versions,
            rerank_models=self._experiments.rerank_models,
            usual_fusion_version=self._usual,
        )


def to_experiment(row: ExperimentRow) -> pb.Experiment:
    """An experiment."""
    message = pb.Experiment(
        experiment_id=str(row.experiment_id),
        name=row.name,
        fusion_version=row.fusion_version,
        rerank_model=row.rerank_model,
        share_percent=row.share_percent,
        running=row.running,
    )
    for name in ("create_time", "change_time", "end_time"):
        if (time := getattr(row, name)) is not None:
            getattr(message, name).FromDatetime(time)
    return message
