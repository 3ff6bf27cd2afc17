"""Live experiments: which share tries what, and what became of both arms."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from fleetdesk.analytics.v1.analytics_service_pb2 import GetExperimentFiguresResponse
from fleetdesk.analytics.v1.experiment_pb2 import ExperimentFigures
from fleetdesk.retrieval.v1 import experiment_service_pb2 as pb

from gateway.views.format import When, count, money_exact, when_of

SHARES = ("10", "50", "100")
_LABELS = {
    "answered": "Answered",
    "handed_over": "Handed over",
    "relevance": "Relevance",
    "citations": "Citations per answer",
    "duration_ms": "Time to the end",
    "cost": "Cost per turn",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A measure of both arms, and their difference; `verdict` says whether it may be chance."""

    label: str
    control: str
    challenger: str
    difference: str
    verdict: str


@dataclass(frozen=True, slots=True)
class ExperimentView:
    """One experiment."""

    experiment_id: str
    name: str
    tries: str
    share: str
    running: bool
    began: When
    ended: When | None


@dataclass(frozen=True, slots=True)
class ExperimentsPage:
    """The page: the experiment looked at with its figures, and the others."""

    headline: str
    shown: ExperimentView | None
    counts: tuple[str, str]
    lines: tuple[Line, ...]
    others: tuple[ExperimentView, ...]
    may_start: bool
    fusions: tuple[tuple[str, str], ...]
    rerankers: tuple[tuple[str, str], ...]


def experiments_page(
    found: pb.ListExperimentsResponse,
    shown: pb.Experiment | None,
    figures: GetExperimentFiguresResponse | None,
    now: datetime,
) -> ExperimentsPage:
    """The page; `figures` are those of `shown`, None while analytics is away."""
    running = next((each for each in found.experiments if each.running), None)
    others = [each for each in found.experiments if shown is None or each != shown]
    return ExperimentsPage(
        headline=_headline(shown, figures),
        shown=_view(shown, now) if shown else None,
        counts=_counts(figures),
        lines=_lines(figures) if figures else (),
        others=tuple(_view(each, now) for each in others),
        may_start=running is None,
        fusions=(
            ("", f"The usual one ({found.usual_fusion_version})"),
            *((version, version) for version in found.fusion_versions),
        ),
        rerankers=(
            ("", "As usual"),
            *(
                (model, "No reranking" if model == "none" else model)
                for model in found.rerank_models
            ),
        ),
    )


def chosen(found: pb.ListExperimentsResponse, experiment_id: str) -> pb.Experiment | None:
    """The experiment asked for, else the newest; None when there is none."""
    asked = (each for each in found.experiments if each.experiment_id == experiment_id)
    return next(asked, None) or next(iter(found.experiments), None)


def _view(experiment: pb.Experiment, now: datetime) -> ExperimentView:
    ended = experiment.HasField("end_time")
    return ExperimentView(
        experiment_id=experiment.experiment_id,
        name=experiment.name,
        tries=_tries(experiment),
        share=str(experiment.share_percent),
        running=experiment.running,
        began=when_of(experiment.create_time, now),
        ended=when_of(experiment.end_time, now) if ended else None,
    )


def _tries(experiment: pb.Experiment) -> str:
    parts: list[str] = []
    if experiment.fusion_version:
        parts.append(f"fusion {experiment.fusion_version}")
    if experiment.rerank_model:
        none = experiment.rerank_model == "none"
        parts.append("no reranking" if none else f"reranked by {experiment.rerank_model}")
    return " and ".join(parts)


def _headline(shown: pb.Experiment | None, figures: GetExperimentFiguresResponse | None) -> str:
    if shown is None:
        return "Every search is done the same way. Try another on a share of your conversations."
    state = (
        f"{shown.share_percent} % of conversations try {_tries(shown)}."
        if shown.running
        else f"“{shown.name}” has ended: every search is as usual."
    )
    if figures is None or not (figures.control.turns and figures.challenger.turns):
        return f"{state} There are no turns of both arms to compare yet."
    answered = figures.difference.answered
    if not answered.HasField("low") or answered.low <= 0 <= answered.high:
        return f"{state} Whether it answers more may still be chance."
    word = "more" if answered.mean > 0 else "less"
    return f"{state} It answers {word}: {_points(answered.mean)}."


def _counts(figures: GetExperimentFiguresResponse | None) -> tuple[str, str]:
    if figures is None:
        return ("", "")
    return _count(figures.control), _count(figures.challenger)


def _count(arm: ExperimentFigures) -> str:
    return f"{count(arm.turns, 'turn')} in {count(arm.conversations, 'conversation')}"


def _lines(figures: GetExperimentFiguresResponse) -> tuple[Line, ...]:
    return tuple(
        Line(
            label=label,
            control=_said(figures.control, name, _FORMS[name]),
            challenger=_said(figures.challenger, name, _FORMS[name]),
            difference=_said(figures.difference, name, _DIFFERENCES[name]),
            verdict=_verdict(figures.difference, name),
        )
        for name, label in _LABELS.items()
    )


def _values(arm: ExperimentFigures, name: str) -> tuple[float, float | None, float | None] | None:
    """Mean and ends of the interval; None where no turn has ended."""
    if not arm.HasField(name):  # pyright: ignore[reportArgumentType] - one of its fields
        return None
    found = getattr(arm, name)
    unit = "_nanos" if name == "cost" else ""
    known = found.HasField(f"low{unit}")
    mean = getattr(found, f"mean{unit}")
    if not known:
        return mean, None, None
    return mean, getattr(found, f"low{unit}"), getattr(found, f"high{unit}")


def _said(arm: ExperimentFigures, name: str, form: Callable[[float], str]) -> str:
    values = _values(arm, name)
    if values is None:
        return "–"
    mean, low, high = values
    if low is None or high is None:
        return form(mean)
    return f"{form(mean)} ({form(low)} to {form(high)})"


def _verdict(difference: ExperimentFigures, name: str) -> str:
    values = _values(difference, name)
    if values is None or values[1] is None or values[2] is None:
        return "Too few conversations"
    return "May be chance" if values[1] <= 0 <= values[2] else "Differs"


def _signed(text: str, value: float) -> str:
    return ("+" if value >= 0 else "−") + text


def _points(share: float) -> str:
    return _signed(f"{abs(100 * share):.1f} points", share)


def _amount_difference(nanos: float) -> str:
    return _signed(money_exact(round(abs(nanos))), nanos)


_FORMS: dict[str, Callable[[float], str]] = {
    "answered": lambda share: f"{100 * share:.1f} %",
    "handed_over": lambda share: f"{100 * share:.1f} %",
    "relevance": lambda share: f"{share:.2f}",
    "citations": lambda mean: f"{mean:.2f}",
    "duration_ms": lambda mean: f"{mean:,.0f} ms",
    "cost": lambda nanos: money_exact(round(nanos)),
}
_DIFFERENCES: dict[str, Callable[[float], str]] = {
    "answered": _points,
    "handed_over": _points,
    "relevance": lambda value: _signed(f"{abs(value):.2f}", value),
    "citations": lambda value: _signed(f"{abs(value):.2f}", value),
    "duration_ms": lambda value: _signed(f"{abs(value):,.0f} ms", value),
    "cost": _amount_difference,
}
