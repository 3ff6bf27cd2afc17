"""Bodies of key figures. Shares are 0–1, or null where there is nothing to share; times are ms."""

from datetime import datetime
from typing import Any

from fleetdesk.analytics.v1 import analytics_service_pb2, kpi_pb2
from fleetdesk.conversation.v1 import conversation_pb2
from msgspec import Struct

from gateway.shapes.common import label_of, time_of


class ConversationCounts(Struct, frozen=True):
    """Conversations that visitors began, each under one of the middle four.

    `answered_alone`: the agent answered and nobody was asked for. Whether that helped is not
    known; it is the nearest thing to "resolved" there is so far. `closed`: ended by a person.
    """

    total: int
    answered_alone: int
    clarify: int
    handed_over: int
    unanswered: int
    closed: int

    @classmethod
    def of(cls, counts: kpi_pb2.ConversationCounts) -> "ConversationCounts":
        """From the proto."""
        return cls(**_fields(cls, counts))


class TurnCounts(Struct, frozen=True):
    """Turns of the agent that ended, by how."""

    total: int
    answered: int
    clarify: int
    handoff: int
    canceled: int
    failed: int

    @classmethod
    def of(cls, counts: kpi_pb2.TurnCounts) -> "TurnCounts":
        """From the proto."""
        return cls(**_fields(cls, counts))


class Percentiles(Struct, frozen=True):
    """Exact percentiles (nearest rank) of `count` values; zeros without any."""

    count: int
    p50_ms: int
    p95_ms: int
    p99_ms: int

    @classmethod
    def of(cls, found: kpi_pb2.Percentiles) -> "Percentiles":
        """From the proto."""
        return cls(**_fields(cls, found))


class HandoffCount(Struct, frozen=True):
    """Conversations handed over first for a reason; null: a person took over unasked."""

    reason: str | None
    conversations: int


class Shares(Struct, frozen=True):
    """Parts of the conversations, and of the turns for `answered`, `clarify` and `handoff`."""

    answered_alone: float | None
    handed_over: float | None
    closed: float | None
    answered: float | None
    clarify: float | None
    handoff: float | None


class Period(Struct, frozen=True):
    """The figures of a period; its end is exclusive."""

    start_time: datetime
    end_time: datetime
    conversations: ConversationCounts
    turns: TurnCounts
    shares: Shares
    handoffs: list[HandoffCount]
    mean_confidence: float | None
    first_token: Percentiles
    full_answer: Percentiles
    conversations_nanos: int
    per_conversation_nanos: int

    @classmethod
    def of(cls, kpis: kpi_pb2.Kpis) -> "Period":
        """From the proto."""
        begun, turns = kpis.conversations, kpis.turns
        return cls(
            start_time=time_of(kpis.start_time),
            end_time=time_of(kpis.end_time),
            conversations=ConversationCounts.of(begun),
            turns=TurnCounts.of(turns),
            shares=Shares(
                answered_alone=share(begun.answered_alone, begun.total),
                handed_over=share(begun.handed_over, begun.total),
                closed=share(begun.closed, begun.total),
                answered=share(turns.answered, turns.total),
                clarify=share(turns.clarify, turns.total),
                handoff=share(turns.handoff, turns.total),
            ),
            handoffs=[
                HandoffCount(
                    label_of(conversation_pb2.HandoffReason, each.reason, "HANDOFF_REASON_"),
                    each.conversations,
                )
                for each in kpis.handoffs
            ],
            mean_confidence=kpis.mean_confidence_millis / 1000 if turns.answered else None,
            first_token=Percentiles.of(kpis.first_token),
            full_answer=Percentiles.of(kpis.full_answer),
            conversations_nanos=kpis.conversations_nanos,
            per_conversation_nanos=kpis.per_conversation_nanos,
        )


class Point(Struct, frozen=True):
    """A day or an hour, UTC."""

    start_time: datetime
    conversations: ConversationCounts
    conversations_nanos: int
    first_token: Percentiles
    full_answer: Percentiles

    @classmethod
    def of(cls, point: kpi_pb2.KpiPoint) -> "Point":
        """From the proto."""
        return cls(
            start_time=time_of(point.start_time),
            conversations=ConversationCounts.of(point.conversations),
            conversations_nanos=point.conversations_nanos,
            first_token=Percentiles.of(point.first_token),
            full_answer=Percentiles.of(point.full_answer),
        )


class Targets(Struct, frozen=True):
    """The goals beside the figures: at least, below, below, below, below."""

    conversations_per_week: int
    answered_alone: float
    handed_over: float
    first_token_p95_ms: int
    per_conversation_nanos: int

    @classmethod
    def of(cls, targets: kpi_pb2.KpiTargets) -> "Targets":
        """From the proto."""
        return cls(
            conversations_per_week=targets.conversations_per_week,
            answered_alone=targets.answered_alone_millis / 1000,
            handed_over=targets.handed_over_millis / 1000,
            first_token_p95_ms=targets.first_token_p95_ms,
            per_conversation_nanos=targets.per_conversation_nanos,
        )


class Kpis(Struct, frozen=True):
    """A period, the one of the same length before it, and the days or hours of the first."""

    current: Period
    previous: Period
    series: list[Point]
    targets: Targets

    @classmethod
    def of(cls, found: analytics_service_pb2.GetKpisResponse) -> "Kpis":
        """From the proto."""
        return cls(
            current=Period.of(found.current),
            previous=Period.of(found.previous),
            series=[Point.of(point) for point in found.series],
            targets=Targets.of(found.targets),
        )


def share(part: int, whole: int) -> float | None:
    """A part of a whole, 0–1; None of nothing."""
    return part / whole if whole else None


def _fields(cls: type[Struct], message: Any) -> dict[str, int]:
    return {name: getattr(message, name) for name in cls.__struct_fields__}
