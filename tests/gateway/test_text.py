"""What is checked of texts is what the API's description says of them."""

import re
from collections.abc import Callable

import pytest
from fleetkit.errors import InvalidArgument
from gateway.text import NAME_PATTERN, TEXT_PATTERN, checked_name, checked_text

# Every character of the planes that have white space and controls, by itself and in company.
_CHARACTERS = [chr(code) for code in (*range(0x3100), 0xFFFD, 0xFFFE, 0x1F600)]


def _takes(check: Callable[..., str], *given: str | int) -> bool:
    try:
        check(*given)
    except InvalidArgument:
        return False
    return True


@pytest.mark.parametrize("around", ["", "a", " ", "\t\n"])
class TestPatterns:
    def test_a_name_is_taken_where_the_pattern_takes_it(self, around: str):
        for character in _CHARACTERS:
            value = f"{around}{character}{around}"
            described = re.search(NAME_PATTERN, value) is not None
            assert described == _takes(checked_name, value, "name"), ascii(value)

    def test_a_text_is_taken_where_the_pattern_takes_it(self, around: str):
        for character in _CHARACTERS:
            value = f"{around}{character}{around}"
            described = re.search(TEXT_PATTERN, value) is not None
            assert described == _takes(checked_text, value, "text", 100), ascii(value)


def test_nothing_is_no_name_and_no_text():
    assert not re.search(NAME_PATTERN, "")
    assert not re.search(TEXT_PATTERN, "")
