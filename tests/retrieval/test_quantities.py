"""Quantities: the same however they are written, and different where they are."""

import re

import pytest
from retrieval.knowledge.quantities import differ, quantities


def told(one: str, other: str) -> str:
    first, second = (
        quantities(re.findall(r"[^\W_]+(?:[.,][^\W_]+)*|[%$€£°]", text.lower()))
        for text in (one, other)
    )
    assert len(first) == len(second)
    return differ(first, second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2 kg", "2,000 g"),
        ("1,000 rows", "1000 rows"),
        ("2.5 million", "2,500,000"),
        ("24 hours", "one day"),
        ("two years", "24 Monate"),
        ("50cm", "0.5 m"),
        ("$5", "5 USD"),
        ("5 °C", "5 C"),
        ("20 %", "20 percent"),
        ("1.5 m and 3 s", "3 s and 150 cm"),
        ("30", "30 days"),
    ],
)
def test_are_the_same_in_other_words(one: str, other: str) -> None:
    assert told(one, other) == told(other, one) == ""


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("30 days", "14 days", "NUMBERS"),
        ("24 hours", "24 minutes", "UNITS"),
        ("€35", "$35", "UNITS"),
        ("8 °C", "8 °F", "UNITS"),
        ("0.125 l", "125 l", "NUMBERS"),
        ("2 kg and 3 m", "2 kg and 4 m", "NUMBERS"),
    ],
)
def test_are_different_in_numbers_or_units(one: str, other: str, reason: str) -> None:
    assert told(one, other) == told(other, one) == reason
