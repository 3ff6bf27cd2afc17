"""Ids and times in requests and responses."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from fleetdesk.llm_gateway.v1.usage_pb2 import UsageEntry
from fleetkit.errors import InvalidArgument
from fleetkit.rpc.fields import (
    optional_timestamp,
    timestamp,
    to_optional_time,
    to_optional_uuid,
    to_time,
    to_uuid,
)


class TestIds:
    def test_are_read(self):
        given = uuid4()
        assert to_uuid(str(given), "agent_id") == given
        assert to_optional_uuid("", "agent_id") is None

    @pytest.mark.parametrize("text", ["", "x", "123", "\0", "0" * 33, "é" * 32])
    def test_name_the_field_that_is_wrong(self, text):
        with pytest.raises(InvalidArgument) as caught:
            to_uuid(text, "agent_id")
        assert caught.value.field == "agent_id"


class TestTimes:
    def test_keep_their_microseconds(self):
        noon = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
        assert timestamp(noon).ToDatetime(tzinfo=UTC) == noon

    @pytest.mark.parametrize("seconds", [-(10**12), 10**12])
    def test_that_are_none_name_the_field(self, seconds):
        entry = UsageEntry()
        entry.create_time.seconds = seconds
        for read in (to_time, to_optional_time):
            with pytest.raises(InvalidArgument) as caught:
                read(entry, "create_time", "items.create_time")
            assert caught.value.field == "items.create_time"

    def test_are_read_where_they_are_set(self):
        entry = UsageEntry(create_time=timestamp(datetime(2026, 11, 1, tzinfo=UTC)))
        assert to_time(entry, "create_time") == datetime(2026, 11, 1, tzinfo=UTC)
        assert to_optional_time(UsageEntry(), "create_time") is None
        with pytest.raises(InvalidArgument) as caught:
            to_time(UsageEntry(), "create_time")
        assert caught.value.field == "create_time"

    def test_may_be_missing(self):
        assert optional_timestamp(None) is None
