"""Months that begin on the day of the subscription."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from billing.periods import calendar_month, months_after, period_at
from hypothesis import given
from hypothesis import strategies as st

TIMES = st.datetimes(datetime(2001, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class TestMonthsAfter:
    @pytest.mark.parametrize(
        ("start", "months", "end"),
        [
            ("2027-01-31T08:00", 1, "2027-02-28T08:00"),
            ("2028-01-31T08:00", 1, "2028-02-29T08:00"),
            ("2027-01-31T08:00", 2, "2027-03-31T08:00"),
            ("2026-12-15T00:00", 1, "2027-01-15T00:00"),
            ("2026-01-15T00:00", -1, "2025-12-15T00:00"),
        ],
    )
    def test_is_the_same_day_or_the_months_last(self, start: str, months: int, end: str) -> None:
        assert months_after(at(start), months) == at(end)


class TestPeriodAt:
    @pytest.mark.parametrize(
        ("time", "start", "end"),
        [
            ("2027-01-31T08:00", "2027-01-31T08:00", "2027-02-28T08:00"),
            ("2027-02-28T07:59", "2027-01-31T08:00", "2027-02-28T08:00"),
            ("2027-02-28T08:00", "2027-02-28T08:00", "2027-03-31T08:00"),
            ("2027-03-30T00:00", "2027-02-28T08:00", "2027-03-31T08:00"),
            ("2026-12-31T08:00", "2026-12-31T08:00", "2027-01-31T08:00"),
        ],
    )
    def test_keeps_to_the_anchors_day(self, time: str, start: str, end: str) -> None:
        period = period_at(at("2027-01-31T08:00"), at(time))
        assert (period.start_time, period.end_time) == (at(start), at(end))

    @given(TIMES, TIMES)
    def test_includes_the_time_and_leaves_no_gap(self, anchor: datetime, time: datetime) -> None:
        period = period_at(anchor, time)
        assert period.includes(time)
        following = period_at(anchor, period.end_time)
        assert following.start_time == period.end_time
        assert not period.includes(period.end_time)

    def test_does_not_depend_on_the_zone(self) -> None:
        anchor = at("2027-01-01T00:30")
        west = anchor.astimezone(timezone(timedelta(hours=-8)))
        assert period_at(west, west) == period_at(anchor, anchor)


def test_a_calendar_month_begins_on_the_first() -> None:
    period = calendar_month(at("2027-02-28T23:59"))
    assert (period.start_time, period.end_time) == (at("2027-02-01"), at("2027-03-01"))
