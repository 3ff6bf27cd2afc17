"""What another threshold would have made of the questions that visitors asked."""

from dataclasses import dataclass
from datetime import datetime

from fleetdesk.conversation.v1.agent_service_pb2 import (
    ChangedDecision,
    DecisionCounts,
    TryThresholdsResponse,
)

from gateway.views.conversations import outcome_badge
from gateway.views.format import When, count, percent, when_of
from gateway.views.frame import Badge, link

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """How many questions come to an outcome, by the published threshold and by the other."""

    label: str
    now: str
    then: str
    change: str


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A question that is decided otherwise."""

    question: str
    href: str
    relevance: str
    now: Badge | None
    then: Badge | None
    asked: When


@dataclass(frozen=True, slots=True)
class PastQuestions:
    """The effect of a threshold; no rows when nobody has asked yet."""

    sentence: str
    outcomes: tuple[OutcomeRow, ...]
    changed: tuple[ChangedRow, ...]
    changed_count: int


def past_questions(trial: TryThresholdsResponse, now: datetime) -> PastQuestions:
    """The effect in a sentence, in figures, and question by question."""
    total = _total(trial.now)
    if not total:
        return PastQuestions("", (), (), 0)
    rows = (
        ("Answered", trial.now.answered, trial.then.answered),
        ("Asked back", trial.now.clarified, trial.then.clarified),
        ("Handed over", trial.now.handed_over, trial.then.handed_over),
    )
    return PastQuestions(
        sentence=f"Of the last {count(total, 'question')}, {_counted(trial.then)}."
        f" {_difference(trial.changed_count)}",
        outcomes=tuple(
            OutcomeRow(label, f"{before:,}", f"{after:,}", _change(after - before))
            for label, before, after in rows
        ),
        changed=tuple(_row(each, now) for each in trial.changed[:_SHOWN]),
        changed_count=trial.changed_count,
    )


def _change(number: int) -> str:
    return f"{number:+,}".replace("-", "−") if number else "0"


def _total(counts: DecisionCounts) -> int:
    return counts.answered + counts.clarified + counts.handed_over


def _counted(counts: DecisionCounts) -> str:
    return (
        f"{counts.answered:,} would be answered, {counts.clarified:,} asked back and"
        f" {counts.handed_over:,} handed over"
    )


def _difference(changed: int) -> str:
    if not changed:
        return "That is as it is now."
    return f"{count(changed, 'question')} would come to something else than now."


def _row(each: ChangedDecision, now: datetime) -> ChangedRow:
    return ChangedRow(
        question=each.question,
        href=link(f"/conversations/{each.conversation_id}", answer=each.message_id),
        relevance=percent(each.relevance),
        now=outcome_badge(each.now),
        then=outcome_badge(each.then),
        asked=when_of(each.create_time, now),
    )
