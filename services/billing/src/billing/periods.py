"""The periods that a subscription's months are counted in."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Period:
    """A month; `end_time` is exclusive."""

    start_time: datetime
    end_time: datetime

    def includes(self, time: datetime) -> bool:
        """Whether a moment is in it."""
        return self.start_time <= time < self.end_time


def months_after(start: datetime, months: int) -> datetime:
    """The same day and time so many months later (earlier), or that month's last day; UTC."""
    start = start.astimezone(UTC)
    year, month0 = divmod(start.year * 12 + start.month - 1 + months, 12)
    last = monthrange(year, month0 + 1)[1]
    return start.replace(year=year, month=month0 + 1, day=min(start.day, last))


def period_at(anchor: datetime, time: datetime) -> Period:
    """The month that includes `time`, of those that begin on the anchor's day.

    Each is counted from the anchor, not from the one before: a subscription of the 31st ends on
    the 28th of February and on the 31st of March.
    """
    time = time.astimezone(UTC)
    anchor = anchor.astimezone(UTC)
    months = (time.year - anchor.year) * 12 + time.month - anchor.month
    if months_after(anchor, months) > time:
        months -= 1
    return Period(months_after(anchor, months), months_after(anchor, months + 1))


def calendar_month(time: datetime) -> Period:
    """The calendar month, UTC: the period of a tenant whose subscription is not there yet."""
    first = time.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return period_at(first, time)
