"""The table of an evaluation, and of one beside another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from retrieval.evaluation.arms import ARMS, SEEN
from retrieval.evaluation.measures import MEASURES, interval
from retrieval.store.evaluations import QuestionRow


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run beside an earlier one; `figures` are differences, as `table` writes them."""

    baseline_id: UUID
    question_count: int
    figures: list[dict[str, Any]]
    gained_count: int
    lost_count: int


def table(rows: Sequence[QuestionRow]) -> list[dict[str, Any]]:
    """An entry for each arm: {arm, missed, and by measure [mean, low, high]}."""
    done = [row for row in rows if row.done]
    if not done:
        return []
    return [
        {
            "arm": arm,
            "missed": sum(is_missed(row, arm) for row in done),
            **_means({name: _values(done, arm, name) for name in MEASURES}),
        }
        for arm in ARMS
    ]


def compare(
    baseline_id: UUID, rows: Iterable[QuestionRow], former: Iterable[QuestionRow]
) -> Comparison | None:
    """The differences over the questions that both searched; None when there is none."""
    before = {row.question: row for row in former if row.done}
    after = [row for row in rows if row.done and row.question in before]
    if not after:
        return None
    pairs = [(row, before[row.question]) for row in after]
    figures = [
        {
            "arm": arm,
            "missed": sum(is_missed(n, arm) - is_missed(f, arm) for n, f in pairs),
            **_means({name: _differences(pairs, arm, name) for name in MEASURES}),
        }
        for arm in ARMS
    ]
    changes = [(is_missed(f, ARMS[-1]), is_missed(n, ARMS[-1])) for n, f in pairs]
    gained, lost = changes.count((True, False)), changes.count((False, True))
    return Comparison(baseline_id, len(pairs), figures, gained, lost)


def is_missed(row: QuestionRow, arm: str) -> bool:
    """Whether none of the question's documents is among the first that an agent reads."""
    rank = getattr(row, f"{arm}_rank")
    return rank is None or rank > SEEN


def grades(row: QuestionRow) -> dict[str, float]:
    """The question's documents, all equally right."""
    return {str(document_id): 1.0 for document_id in row.expected}


def _values(rows: Iterable[QuestionRow], arm: str, measure: str) -> list[float]:
    function = MEASURES[measure]
    return [function([str(d) for d in getattr(row, arm)], grades(row)) for row in rows]


def _differences(
    pairs: Sequence[tuple[QuestionRow, QuestionRow]], arm: str, measure: str
) -> list[float]:
    now = _values((row for row, _ in pairs), arm, measure)
    then = _values((row for _, row in pairs), arm, measure)
    return [new - old for new, old in zip(now, then, strict=True)]


def _means(values: Mapping[str, list[float]]) -> dict[str, list[float]]:
    return {name: [sum(each) / len(each), *interval(each)] for name, each in values.items()}
