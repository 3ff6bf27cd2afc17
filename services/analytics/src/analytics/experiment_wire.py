"""Figures of experiments to protos."""

from collections.abc import Mapping

from fleetdesk.analytics.v1 import experiment_pb2 as pb

from analytics.experiments import Arm, Estimate

_SHARES = ("answered", "handed_over", "relevance")
_MEANS = ("citations", "duration_ms")


def to_arm(arm: Arm) -> pb.ExperimentFigures:
    """An arm; shares end at 0 and 1, other means at 0."""
    message = to_figures(arm.estimates, low=0.0)
    message.conversations, message.turns = arm.conversations, arm.turns
    return message


def to_figures(
    estimates: Mapping[str, Estimate], *, low: float | None = None
) -> pb.ExperimentFigures:
    """The estimates there are; `low` is where intervals end, for what can't be below."""
    message = pb.ExperimentFigures()
    for name in (*_SHARES, *_MEANS):
        if name in estimates:
            high = 1.0 if name in _SHARES and low is not None else None
            getattr(message, name).CopyFrom(_estimate(estimates[name], low, high))
    if "cost" in estimates:
        message.cost.CopyFrom(_amount(_estimate(estimates["cost"], low, None)))
    return message


def _estimate(found: Estimate, low: float | None, high: float | None) -> pb.Estimate:
    if found.interval is None:
        return pb.Estimate(mean=found.mean)
    begin, end = found.interval
    if low is not None:
        begin = max(begin, low)
    if high is not None:
        end = min(end, high)
    return pb.Estimate(mean=found.mean, low=begin, high=end)


def _amount(found: pb.Estimate) -> pb.AmountEstimate:
    known = found.HasField("low")
    return pb.AmountEstimate(
        mean_nanos=round(found.mean),
        low_nanos=round(found.low) if known else None,
        high_nanos=round(found.high) if known else None,
    )
