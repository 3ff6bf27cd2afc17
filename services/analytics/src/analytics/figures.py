"""What sums by bucket come to: counts, means and percentiles, of each bucket and of all."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from analytics.store.kpis import ConversationsRow, TurnsRow

_PERCENTILES = (Fraction(50, 100), Fraction(95, 100), Fraction(99, 100))
_MILLISECONDS = np.dtype(">i4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversations:
    """Conversations by what became of them, and what they cost."""

    total: int = 0
    handed_over: int = 0
    answered_alone: int = 0
    clarify: int = 0
    unanswered: int = 0
    closed: int = 0
    amount_nanos: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Turns by how they ended; percentiles [50, 95, 99] in ms of those `timed`, None without any.

    Percentiles are exact, by nearest rank.
    """

    total: int = 0
    answered: int = 0
    clarify: int = 0
    handoff: int = 0
    canceled: int = 0
    failed: int = 0
    timed: int = 0
    mean_confidence_millis: int = 0
    first_token_ms: list[int] | None = None
    duration_ms: list[int] | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Conversations that were handed over first for one reason."""

    reason: str
    conversations: int


def of_conversations(rows: Iterable[ConversationsRow]) -> Conversations:
    """What the rows come to."""
    outcomes: Counter[str] = Counter()
    closed = amount_nanos = 0
    for row in rows:
        outcomes[row.outcome] += row.total
        closed += row.closed
        amount_nanos += row.amount_nanos
    return Conversations(
        total=outcomes.total(),
        handed_over=outcomes["handed_over"],
        answered_alone=outcomes["answered_alone"],
        clarify=outcomes["clarify"],
        unanswered=outcomes["unanswered"],
        closed=closed,
        amount_nanos=amount_nanos,
    )


def reasons_of(rows: Iterable[ConversationsRow]) -> list[Reason]:
    """Why people were asked for, most frequent first."""
    counts: Counter[str] = Counter()
    for row in rows:
        if row.outcome == "handed_over":
            counts[row.handoff_reason] += row.total
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return [Reason(reason, count) for reason, count in ordered]


def of_turns(rows: Sequence[TurnsRow]) -> Turns:
    """What the rows come to; some 10 ms for 300,000 times: call it in a thread."""
    answered = sum(row.answered for row in rows)
    confidence = sum(row.confidence_millis for row in rows)
    first_token = _values([row.first_token_ms for row in rows])
    return Turns(
        total=sum(row.total for row in rows),
        answered=answered,
        clarify=sum(row.clarify for row in rows),
        handoff=sum(row.handoff for row in rows),
        canceled=sum(row.canceled for row in rows),
        failed=sum(row.failed for row in rows),
        timed=first_token.size,
        # Half up, as a mean of whole numbers that are not below 0.
        mean_confidence_millis=(2 * confidence + answered) // (2 * answered) if answered else 0,
        first_token_ms=_percentiles(first_token),
        duration_ms=_percentiles(_values([row.duration_ms for row in rows])),
    )


def by_bucket(
    conversations: Iterable[ConversationsRow], turns: Iterable[TurnsRow]
) -> tuple[dict[datetime, Conversations], dict[datetime, Turns]]:
    """The figures of each bucket that there is anything in."""
    begun: dict[datetime, list[ConversationsRow]] = {}
    for row in conversations:
        begun.setdefault(row.bucket, []).append(row)
    return (
        {bucket: of_conversations(rows) for bucket, rows in begun.items()},
        {row.bucket: of_turns([row]) for row in turns},
    )


def _values(packed: Sequence[bytes]) -> NDArray[np.int32]:
    return np.frombuffer(b"".join(packed), _MILLISECONDS).astype(np.int32)


def _percentiles(values: NDArray[np.int32]) -> list[int] | None:
    """The least values that at least so large a share of all does not exceed."""
    if not values.size:
        return None
    ranks = [-int(-share * values.size // 1) - 1 for share in _PERCENTILES]
    return [int(each) for each in np.partition(values, ranks)[ranks]]
