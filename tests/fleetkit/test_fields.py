"""Ids and times in requests and responses."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from fleetkit.errors import InvalidArgument
from fleetkit.rpc.fields import optional_timestamp, timestamp, to_optional_uuid, to_uuid


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

    def test_may_be_missing(self):
        assert optional_timestamp(None) is None
