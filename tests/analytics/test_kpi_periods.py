"""Periods at the ends of the calendar."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from analytics.kpis import get_kpis
from analytics.store.kpis import Period
from fleetkit.errors import InvalidArgument


@pytest.mark.parametrize(("year", "field"), [(2000, "start_time"), (9999, "end_time")])
async def test_one_without_a_neighbour_is_refused(year: int, field: str) -> None:
    start, end = datetime(year, 12, 30, tzinfo=UTC), datetime(year, 12, 31, 12, tzinfo=UTC)
    with pytest.raises(InvalidArgument) as raised:
        await get_kpis(
            cast("Any", None), cast("Any", None), Period(start_time=start, end_time=end), "day"
        )
    assert raised.value.field == field
