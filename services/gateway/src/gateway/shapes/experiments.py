"""Bodies of experiments: another fusion or reranker for a share of the conversations."""

from datetime import datetime
from typing import Annotated, Literal

from fleetdesk.analytics.v1 import analytics_service_pb2, experiment_pb2
from fleetdesk.retrieval.v1 import experiment_service_pb2
from msgspec import Meta, Struct

from gateway.shapes.common import SomeName, optional_time, time_of

Share = Literal[10, 50, 100]


class ExperimentRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What is tried: a fusion, a reranker (`none` for none), or both; empty means as usual."""

    name: Annotated[SomeName, Meta(max_length=100)]
    share_percent: Share
    fusion_version: Annotated[str, Meta(max_length=100)] = ""
    rerank_model: Annotated[str, Meta(max_length=200)] = ""


class ShareRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The share of conversations that try it, in percent."""

    share_percent: Share


class Experiment(Struct, frozen=True):
    """An experiment. A conversation keeps its arm, also when the share grows."""

    experiment_id: str
    name: str
    fusion_version: str
    rerank_model: str
    share_percent: int
    running: bool
    create_time: datetime
    change_time: datetime
    end_time: datetime | None

    @classmethod
    def of(cls, experiment: experiment_service_pb2.Experiment) -> "Experiment":
        """From the proto."""
        return cls(
            experiment_id=experiment.experiment_id,
            name=experiment.name,
            fusion_version=experiment.fusion_version,
            rerank_model=experiment.rerank_model,
            share_percent=experiment.share_percent,
            running=experiment.running,
            create_time=time_of(experiment.create_time),
            change_time=time_of(experiment.change_time),
            end_time=optional_time(experiment, "end_time"),
        )


class ExperimentList(Struct, frozen=True):
    """The last 100 experiments, newest first, and what can be tried."""

    items: list[Experiment]
    fusion_versions: list[str]
    rerank_models: list[str]
    usual_fusion_version: str

    @classmethod
    def of(cls, found: experiment_service_pb2.ListExperimentsResponse) -> "ExperimentList":
        """From the proto."""
        return cls(
            [Experiment.of(experiment) for experiment in found.experiments],
            list(found.fusion_versions),
            list(found.rerank_models),
            found.usual_fusion_version,
        )


class Estimate(Struct, frozen=True):
    """A mean over turns with its 95 % interval, which counts conversations; null below two."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, message: experiment_pb2.ExperimentFigures, name: str) -> "Estimate | None":
        """From the proto; None where no turn has ended."""
        if not message.HasField(name):  # pyright: ignore[reportArgumentType] - one of its fields
            return None
        found = getattr(message, name)
        known = found.HasField("low")
        return cls(found.mean, found.low if known else None, found.high if known else None)


class AmountEstimate(Struct, frozen=True):
    """The same of money, in integer nano-dollars."""

    mean_nanos: int
    low_nanos: int | None
    high_nanos: int | None

    @classmethod
    def of(cls, message: experiment_pb2.ExperimentFigures) -> "AmountEstimate | None":
        """From the proto; None where no turn has ended."""
        if not message.HasField("cost"):
            return None
        cost = message.cost
        known = cost.HasField("low_nanos")
        low, high = (cost.low_nanos, cost.high_nanos) if known else (None, None)
        return cls(cost.mean_nanos, low, high)


class ExperimentArm(Struct, frozen=True):
    """An arm, or the challenger less the control (then without counts)."""

    conversations: int
    turns: int
    answered: Estimate | None
    handed_over: Estimate | None
    relevance: Estimate | None
    citations: Estimate | None
    duration_ms: Estimate | None
    cost: AmountEstimate | None

    @classmethod
    def of(cls, figures: experiment_pb2.ExperimentFigures) -> "ExperimentArm":
        """From the proto."""
        return cls(
            conversations=figures.conversations,
            turns=figures.turns,
            answered=Estimate.of(figures, "answered"),
            handed_over=Estimate.of(figures, "handed_over"),
            relevance=Estimate.of(figures, "relevance"),
            citations=Estimate.of(figures, "citations"),
            duration_ms=Estimate.of(figures, "duration_ms"),
            cost=AmountEstimate.of(figures),
        )


class ExperimentFigures(Struct, frozen=True):
    """Both arms of an experiment, and their difference; about a second behind."""

    control: ExperimentArm
    challenger: ExperimentArm
    difference: ExperimentArm

    @classmethod
    def of(cls, found: analytics_service_pb2.GetExperimentFiguresResponse) -> "ExperimentFigures":
        """From the proto."""
        return cls(
            ExperimentArm.of(found.control),
            ExperimentArm.of(found.challenger),
            ExperimentArm.of(found.difference),
        )
