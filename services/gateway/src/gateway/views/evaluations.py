"""Evaluations: how well a company's own questions find their documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fleetdesk.retrieval.v1 import evaluation_pb2 as pb
from fleetdesk.retrieval.v1 import evaluation_service_pb2 as pb_service

from gateway.views.format import When, count, percent, when_of
from gateway.views.frame import Badge, Tab, link
from gateway.views.progress import Progress, Step, progress_of

ARMS = {
    "bm25": ("BM25", pb.EVALUATION_ARM_BM25),
    "dense": ("Dense", pb.EVALUATION_ARM_DENSE),
    "fused": ("Fused", pb.EVALUATION_ARM_FUSED),
    "reranked": ("Fused + rerank", pb.EVALUATION_ARM_RERANKED),
}
_LABELS: dict[int, str] = {int(number): label for label, number in ARMS.values()}
_MEASURES = {
    "ndcg_at_10": ("nDCG@10", "how high the right documents stand"),
    "recall_at_10": ("Recall@10", "share of the right documents among ten"),
    "mrr_at_10": ("MRR@10", "one over the place of the first right one"),
    "precision_at_5": ("P@5", "share of five that are right"),
}
_BADGES: dict[int, Badge] = {
    pb.EVALUATION_STATE_QUEUED: Badge("Waiting", "clock"),
    pb.EVALUATION_STATE_RUNNING: Badge("Running", "loader-circle", "busy"),
    pb.EVALUATION_STATE_ENDED: Badge("Done", "circle-check", "good"),
    pb.EVALUATION_STATE_FAILED: Badge("Failed", "circle-alert", "bad"),
    pb.EVALUATION_STATE_CANCELLED: Badge("Stopped", "circle-stop"),
}
_UNDER_WAY = (pb.EVALUATION_STATE_QUEUED, pb.EVALUATION_STATE_RUNNING)
# An arm's line of the chart is drawn on a scale of this many units.
SCALE = 1000


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure of an arm: in words, and as a line from `low` to `high` with a mark at `mean`."""

    label: str
    value: str
    interval: str
    low: int
    width: int
    mean: int


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure over all arms."""

    label: str
    meaning: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in the list."""

    evaluation_id: str
    name: str
    href: str
    badge: Badge
    questions: str
    found: str
    ndcg: str
    created: When


@dataclass(frozen=True, slots=True)
class RunList:
    """The page of runs."""

    headline: str
    rows: tuple[RunRow, ...]
    is_busy: bool
    self_href: str
    next_href: str
    first_href: str


@dataclass(frozen=True, slots=True)
class DocumentLink:
    """A document with the place where it can be read; no link when it is gone."""

    title: str
    href: str


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """A question: what it should find, where that stands in each arm, what was found."""

    question: str
    expected: tuple[DocumentLink, ...]
    found: tuple[DocumentLink, ...]
    ranks: tuple[tuple[str, str], ...]
    relevance: str
    lab_href: str


@dataclass(frozen=True, slots=True)
class Changes:
    """A run beside an earlier one."""

    sentence: str
    measures: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class RunView:
    """The page of one run."""

    evaluation_id: str
    name: str
    headline: str
    detail: str
    badge: Badge
    error: str
    warnings: tuple[str, ...]
    done: int
    progress: Progress
    can_run_again: bool
    measures: tuple[Measure, ...]
    changes: Changes | None
    baselines: tuple[tuple[str, str], ...]
    baseline: str
    questions: tuple[QuestionRow, ...]
    filters: tuple[Tab, ...]
    arm_tabs: tuple[Tab, ...]
    arm: str
    only_missed: bool
    self_href: str
    next_href: str
    first_href: str


def is_under_way(run: pb.Evaluation) -> bool:
    """Whether it waits or runs."""
    return run.state in _UNDER_WAY


def run_before(runs: Sequence[pb.Evaluation], evaluation_id: str) -> str:
    """The last run of the same questions that ended before this one; "" when there is none.

    `runs` are newest first.
    """
    place = next((n for n, run in enumerate(runs) if run.evaluation_id == evaluation_id), None)
    if place is None:
        return ""
    before = (
        run.evaluation_id
        for run in runs[place + 1 :]
        if run.set_id == runs[place].set_id and run.state == pb.EVALUATION_STATE_ENDED
    )
    return next(before, "")


def run_list(found: pb_service.ListEvaluationsResponse, now: datetime, page_token: str) -> RunList:
    """The runs as rows."""
    path = "/knowledge/evaluations"
    last = next((run for run in found.evaluations if run.figures), None)
    following = found.next_page_token
    return RunList(
        headline=_found_of(last)
        if last
        else "Do your documents answer what people ask? Try it with your own questions.",
        rows=tuple(_row(run, now) for run in found.evaluations),
        is_busy=any(is_under_way(run) for run in found.evaluations),
        self_href=link(path, page_token=page_token),
        next_href=link(path, page_token=following) if following else "",
        first_href=path if page_token else "",
    )


def _row(run: pb.Evaluation, now: datetime) -> RunRow:
    final = run.figures[-1] if run.figures else None
    asked = f"{run.done_count:,} of {run.question_count:,}"
    return RunRow(
        evaluation_id=run.evaluation_id,
        name=run.name,
        href=f"/knowledge/evaluations/{run.evaluation_id}",
        badge=_BADGES.get(run.state, Badge("Unknown", "circle-question-mark")),
        questions=asked if run.done_count < run.question_count else f"{run.question_count:,}",
        found=percent(1 - final.missed_count / run.done_count) if final else "–",
        ndcg=f"{final.ndcg_at_10.mean:.3f}" if final else "–",
        created=when_of(run.create_time, now),
    )


def _found_of(run: pb.Evaluation) -> str:
    missed = run.figures[-1].missed_count
    found = run.done_count - missed
    said = (
        f"{found:,} of {count(run.done_count, 'question')} {'finds' if found == 1 else 'find'} a"
        f" right document among the first five ({percent(found / run.done_count)})"
    )
    return f"{said}; {missed:,} {'misses' if missed == 1 else 'miss'}." if missed else f"{said}."


def run_view(
    found: pb_service.GetEvaluationResponse,
    questions: pb_service.ListEvaluationQuestionsResponse,
    runs: Sequence[pb.Evaluation],
    now: datetime,
    *,
    arm: str,
    only_missed: bool,
    page_token: str,
) -> RunView:
    """The page of a run; `runs` are those that it may be compared with, among others."""
    run = found.evaluation
    path = f"/knowledge/evaluations/{run.evaluation_id}"
    baseline = found.comparison.baseline_evaluation_id
    state = {"arm": arm if arm != "reranked" else "", "show": "" if only_missed else "all"}
    state["baseline"] = baseline
    following = questions.next_page_token
    return RunView(
        evaluation_id=run.evaluation_id,
        name=run.name,
        headline=_headline(run),
        detail=_detail(run, now),
        badge=_BADGES.get(run.state, Badge("Unknown", "circle-question-mark")),
        error=run.error,
        warnings=_warnings(run),
        done=run.done_count,
        progress=progress_of(
            (Step("Searched", run.done_count, run.question_count, "question"),),
            is_busy=is_under_way(run),
            ended=_headline(run),
        ),
        can_run_again=not is_under_way(run),
        measures=measures(run.figures),
        changes=_changes(found.comparison) if found.HasField("comparison") else None,
        baselines=_baselines(run, runs, now),
        baseline=baseline,
        questions=tuple(_question(question) for question in questions.questions),
        filters=(
            Tab("Missed", link(path, **{**state, "show": ""}), only_missed),
            Tab("All", link(path, **{**state, "show": "all"}), not only_missed),
        ),
        arm_tabs=tuple(
            Tab(label, link(path, **{**state, "arm": name}), name == arm)
            for name, (label, _) in ARMS.items()
        ),
        arm=ARMS[arm][0],
        only_missed=only_missed,
        self_href=link(path, **state, page_token=page_token),
        next_href=link(path, **state, page_token=following) if following else "",
        first_href=link(path, **state) if page_token else "",
    )


def _headline(run: pb.Evaluation) -> str:
    if run.figures:
        return _found_of(run)
    if run.state == pb.EVALUATION_STATE_RUNNING:
        return f"{run.done_count:,} of {count(run.question_count, 'question')} searched so far."
    if run.state == pb.EVALUATION_STATE_QUEUED:
        return f"{count(run.question_count, 'question')} will be searched in a moment."
    return "No question was searched."


def _detail(run: pb.Evaluation, now: datetime) -> str:
    if not run.fusion_version:
        return f"Asked for {when_of(run.create_time, now).ago}"
    reranker = run.rerank_model + (f", weights {run.rerank_version}" if run.rerank_version else "")
    return " · ".join(
        (
            f"Knowledge version {run.knowledge_version:,}",
            f"fusion {run.fusion_version}",
            f"reranker {reranker}",
            f"embeddings {run.embedding_model}" if run.embedding_model else "",
        )
    ).rstrip(" ·")


def _warnings(run: pb.Evaluation) -> tuple[str, ...]:
    said: list[str] = []
    if run.last_knowledge_version != run.knowledge_version:
        said.append("Knowledge changed while it ran: its questions did not all see the same.")
    if run.not_reranked_count:
        said.append(
            f"{count(run.not_reranked_count, 'question')} could not be reranked, because passages"
            " were read before the reranker was there; they count as fused. Sync those documents."
        )
    return tuple(said)


def measures(figures: Sequence[pb.ArmFigures], *, signed: bool = False) -> tuple[Measure, ...]:
    """The figures by measure; `signed` are differences, from −1 to 1."""
    if not figures:
        return ()
    return tuple(
        Measure(
            label,
            meaning,
            tuple(_figure(entry, getattr(entry, name), signed=signed) for entry in figures),
        )
        for name, (label, meaning) in _MEASURES.items()
    )


def _figure(entry: pb.ArmFigures, found: pb.Measured, *, signed: bool) -> Figure:
    form = "{:+.3f}" if signed else "{:.3f}"

    def place(value: float) -> int:
        share = (value + 1) / 2 if signed else value
        return round(SCALE * min(max(share, 0.0), 1.0))

    def said(value: float) -> str:
        return form.format(value).replace("-", "−")

    return Figure(
        label=_LABELS.get(entry.arm, "Another"),
        value=said(found.mean),
        interval=f"{said(found.low)} to {said(found.high)}",
        low=place(found.low),
        width=max(place(found.high) - place(found.low), 2),
        mean=place(found.mean),
    )


def _changes(comparison: pb.EvaluationComparison) -> Changes:
    final = comparison.differences[-1].ndcg_at_10
    sure = final.low > 0 or final.high < 0
    verdict = "better" if final.mean > 0 else "worse"
    said = (
        f"{count(comparison.gained_count, 'question')} found now that missed before,"
        f" {comparison.lost_count:,} the other way round, of {comparison.question_count:,}. "
        + (
            f"Reranked, it is {verdict}: the interval of nDCG@10 leaves out zero."
            if sure
            else "Reranked, the difference of nDCG@10 may be chance: its interval holds zero."
        )
    )
    return Changes(said, measures(comparison.differences, signed=True))


def _baselines(
    run: pb.Evaluation, runs: Sequence[pb.Evaluation], now: datetime
) -> tuple[tuple[str, str], ...]:
    return tuple(
        (other.evaluation_id, f"{other.name}, {when_of(other.create_time, now).ago}")
        for other in runs
        if other.set_id == run.set_id
        and other.evaluation_id != run.evaluation_id
        and other.state == pb.EVALUATION_STATE_ENDED
    )


def _question(question: pb.EvaluationQuestion) -> QuestionRow:
    ranks = (
        ("BM25", question.bm25_rank),
        ("Dense", question.dense_rank),
        ("Fused", question.fused_rank),
        ("Reranked", question.reranked_rank),
    )
    return QuestionRow(
        question=question.question,
        expected=tuple(_document(document) for document in question.expected),
        found=tuple(_document(document) for document in question.found),
        ranks=tuple((label, f"#{rank}" if rank else "not in 10") for label, rank in ranks),
        relevance=percent(question.relevance),
        lab_href=link("/knowledge/search", q=question.question),
    )


def _document(document: pb.EvaluationDocument) -> DocumentLink:
    if not document.title:
        return DocumentLink("A document that is gone", "")
    return DocumentLink(document.title, f"/documents/{document.document_id}")
