"""Key figures of a period, of the one before it, and of its hours or days."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from uuid import UUID

from fleetkit.errors import InvalidArgument
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection

from analytics.store import kpis as store
from analytics.store.kpis import ConversationsRow, Period, ReasonRow, TurnsRow, Width

_LONGEST: dict[Width, timedelta] = {"day": timedelta(days=366), "hour": timedelta(days=31)}
_STEP: dict[Width, timedelta] = {"day": timedelta(days=1), "hour": timedelta(hours=1)}


@dataclass(frozen=True, slots=True)
class Point:
    """A bucket of the series."""

    start_time: datetime
    conversations: ConversationsRow
    turns: TurnsRow


@dataclass(frozen=True, slots=True)
class Kpis:
    """The figures of a period, and its points in order, none left out."""

    period: Period
    conversations: ConversationsRow
    turns: TurnsRow
    reasons: list[ReasonRow]
    points: list[Point]

    @property
    def per_conversation_nanos(self) -> int:
        """What a conversation cost on average, rounded half-even; 0 without any."""
        total = self.conversations.total
        return round(Fraction(self.conversations.amount_nanos, total)) if total else 0


async def get_kpis(
    db: Database, tenant_id: UUID, period: Period, width: Width
) -> tuple[Kpis, Kpis]:
    """The figures of the period, and of the one of the same length before it."""
    _check(period, width)
    length = period.end_time - period.start_time
    before = Period(
        start_time=period.start_time - length,
        end_time=period.start_time,
        agent_id=period.agent_id,
    )
    async with db.tenant(tenant_id) as conn:
        current = await _kpis(conn, tenant_id, period, width)
        previous = await _kpis(conn, tenant_id, before, width)
    return current, previous


async def _kpis(conn: FleetConnection, tenant_id: UUID, period: Period, width: Width) -> Kpis:
    conversations = await store.count_conversations(conn, tenant_id, period, width)
    turns = await store.count_turns(conn, tenant_id, period, width)
    return Kpis(
        period=period,
        conversations=conversations[-1],
        turns=turns[-1],
        reasons=await store.count_reasons(conn, tenant_id, period),
        points=_points(period, width, conversations[:-1], turns[:-1]),
    )


def _points(
    period: Period, width: Width, conversations: list[ConversationsRow], turns: list[TurnsRow]
) -> list[Point]:
    """A point for each bucket; those without anything are zeros."""
    begun = {row.bucket: row for row in conversations}
    ended = {row.bucket: row for row in turns}
    start = period.start_time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if width == "day":
        start = start.replace(hour=0)
    points: list[Point] = []
    while start < period.end_time:
        points.append(
            Point(
                start,
                begun.get(start, ConversationsRow(bucket=start)),
                ended.get(start, TurnsRow(bucket=start)),
            )
        )
        start += _STEP[width]
    return points


def _check(period: Period, width: Width) -> None:
    if period.start_time >= period.end_time:
        raise InvalidArgument("the period ends before it has begun", field="start_time")
    if period.end_time - period.start_time > _LONGEST[width]:
        raise InvalidArgument(
            f"by {width}, ask for at most {_LONGEST[width].days} days", field="end_time"
        )
    if period.start_time.year <= 2000:  # the period before it must be a time, too
        raise InvalidArgument(
            "the period begins in 2000 or before: ask for a later one", field="start_time"
        )
    if period.end_time.year >= 9999:  # the day after it must be a time, too
        raise InvalidArgument(
            "the period ends in 9999 or later: ask for an earlier one", field="end_time"
        )
