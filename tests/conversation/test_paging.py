"""Page tokens."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from conversation.paging import page_token, read_page_token
from fleetkit.errors import InvalidArgument
from hypothesis import given
from hypothesis import strategies as st

TIME = datetime(2026, 3, 4, 5, 6, 7, 891234, tzinfo=UTC)


@given(st.integers(0, 10**15), st.uuids())
def test_come_back_to_the_microsecond(micros, last_id):
    time = TIME + timedelta(microseconds=micros)
    assert read_page_token(page_token(time, last_id, b"scope"), b"scope") == (time, last_id)


def test_none_is_the_first_page():
    assert read_page_token("", b"scope") is None


@pytest.mark.parametrize("token", ["x", "é", "AAAA", "=" * 40, "A" * 44, " " * 44, "A" * 5000])
def test_made_up_ones_are_refused(token):
    with pytest.raises(InvalidArgument) as caught:
        read_page_token(token, b"scope")
    assert caught.value.field == "page_token"


def test_each_changed_character_is_noticed():
    token = page_token(TIME, UUID(int=7), b"scope")
    for at in range(len(token) - 1):
        other = "A" if token[at] != "A" else "B"
        with pytest.raises(InvalidArgument):
            read_page_token(token[:at] + other + token[at + 1 :], b"scope")


def test_belong_to_one_list():
    with pytest.raises(InvalidArgument):
        read_page_token(page_token(TIME, uuid4(), b"open"), b"resolved")
