"""Key figures of a period, of the one before it, and of its hours or days."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from uuid import UUID

from fleetkit.errors import InvalidArgument
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection

from analytics import figures, hours
from analytics.figures import Conversations, Reason, Turns
from analytics.store import kpis as store
from analytics.store.kpis import ConversationsRow, Period, TurnsRow, Wanted, Width

_LONGEST: dict[Width, timedelta] = {"day": timedelta(days=366), "hour": timedelta(days=31)}
_STEP: dict[Width, timedelta] = {"day": timedelta(days=1), "hour": timedelta(hours=1)}


@dataclass(frozen=True, slots=True)
class Point:
    """A bucket of the series."""

    start_time: datetime
    conversations: Conversations
    turns: Turns


@dataclass(frozen=True, slots=True)
class Kpis:
    """The figures of a period, and its points in order, none left out."""

    period: Period
    conversations: Conversations
    turns: Turns
    reasons: list[Reason]
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
        await hours.refresh(conn, tenant_id)
        read = [await _read(conn, tenant_id, each, width) for each in (period, before)]
    return (
        await asyncio.to_thread(_kpis, period, width, *read[0]),
        await asyncio.to_thread(_kpis, before, width, *read[1]),
    )


async def _read(
    conn: FleetConnection, tenant_id: UUID, period: Period, width: Width
) -> tuple[list[ConversationsRow], list[TurnsRow]]:
    parts = hours.parts(tenant_id, period.start_time, period.end_time)
    wanted = Wanted(parts=parts, agent_id=period.agent_id, width=width)
    return await store.conversation_sums(conn, wanted), await store.turn_sums(conn, wanted)


def _kpis(
    period: Period, width: Width, begun: list[ConversationsRow], ended: list[TurnsRow]
) -> Kpis:
    return Kpis(
        period=period,
        conversations=figures.of_conversations(begun),
        turns=figures.of_turns(ended),
        reasons=figures.reasons_of(begun),
        points=_points(period, width, begun, ended),
    )


def _points(
    period: Period, width: Width, begun: list[ConversationsRow], ended: list[TurnsRow]
) -> list[Point]:
    """A point for each bucket; those without anything are zeros."""
    conversations, turns = figures.by_bucket(begun, ended)
    start = period.start_time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if width == "day":
        start = start.replace(hour=0)
    points: list[Point] = []
    while start < period.end_time:
        points.append(
            Point(start, conversations.get(start, Conversations()), turns.get(start, Turns()))
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
