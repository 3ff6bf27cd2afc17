"""Contradictions and duplicates told by rules, on labelled pairs of sentences."""

import pytest
from eval import conflicts
from retrieval.knowledge.differing import (
    contradiction,
    differences,
    different_things,
    same_text,
    sentences,
)

# What contradicts, and in what.
CONTRADICTING = [
    (
        "You can return a kettle within 30 days.",
        "A kettle can be returned within 14 days.",
        "NUMBERS",
    ),
    (
        "The warranty of a toaster lasts two years.",
        "The toaster warranty lasts three years.",
        "NUMBERS",
    ),
    ("The battery lasts 10 hours.", "The battery lasts 10 days.", "UNITS"),
    ("The cable is 50 cm long.", "The cable is 50 mm long.", "UNITS"),
    ("The pump runs at 12V.", "The pump runs at 24V.", "NUMBERS"),
    (
        "The lid may be washed in a dishwasher.",
        "The lid may not be washed in a dishwasher.",
        "NEGATION",
    ),
    ("You can cancel an order online.", "You can't cancel an order online.", "NEGATION"),
    ("We never ship parcels abroad.", "We ship parcels abroad.", "NEGATION"),
    (
        "Yes, the filter fits the old jug.",
        "No, the filter fits the old jug only with a ring.",
        "YES_NO",
    ),
    ("The app needs version 2.1 or later.", "The app needs version 3.0 or later.", "VERSIONS"),
    (
        "Firmware 1.8.19 is required by the board.",
        "Firmware 2.0.4 is required by the board.",
        "VERSIONS",
    ),
    ("Shipping costs 5 euros per parcel.", "Shipping costs 7 euros per parcel.", "NUMBERS"),
]
GERMAN = [
    (
        "Die Garantie der Pumpe gilt zwei Jahre.",
        "Die Garantie der Pumpe gilt nicht im Ausland.",
        "",
    ),
    ("Der Akku hält 10 Stunden.", "Der Akku hält 12 Stunden.", "NUMBERS"),
    ("Der Deckel ist spülmaschinenfest.", "Der Deckel ist nicht spülmaschinenfest.", "NEGATION"),
]
# What looks alike and does not contradict.
AGREEING = [
    (
        "You can return a kettle within 30 days.",
        "Return the kettle within thirty days of delivery.",
    ),
    ("The warranty of a toaster lasts two years.", "A toaster has a warranty of 2 years."),
    ("E-1042 means that the tank is empty.", "E-1043 means that the tank is full."),
    ("Model X200 weighs 3 kg.", "Model X300 weighs 4 kg."),
    ("The battery lasts 10 hours.", "The toaster weighs 3 kg."),
    ("Press the button for 5 seconds.", "Hold the lid while water boils for 5 minutes."),
    ("We ship parcels on weekdays.", "We ship parcels on weekdays and collect them, too."),
    ("The lid is not dishwasher safe.", "The lid isn't dishwasher safe."),
    ("Our shop opens at 9.", "Call our support line from 9 to 17."),
    ("The cable is 50 cm long.", "The cable is 50cm long."),
]


def judged(one: str, other: str, language: str = "en") -> str:
    (first,), (second,) = sentences(one, language), sentences(other, language)
    return contradiction(first, second)


class TestContradiction:
    @pytest.mark.parametrize(("one", "other", "reason"), CONTRADICTING)
    def test_is_seen_from_either_side(self, one, other, reason):
        assert judged(one, other) == judged(other, one) == reason

    @pytest.mark.parametrize(("one", "other", "reason"), GERMAN)
    def test_is_seen_in_other_languages(self, one, other, reason):
        assert judged(one, other, "de") == reason

    @pytest.mark.parametrize(("one", "other"), AGREEING)
    def test_is_not_seen_where_there_is_none(self, one, other):
        assert judged(one, other) == ""


class TestDifferences:
    def test_have_the_spans_of_both_sentences(self):
        one = "Tea is fine.\nYou can return a kettle within 30 days. Ask us."
        other = "Kettles are sold here. A kettle can be returned within 14 days."
        (found,) = differences(one, other)
        assert one[slice(*found.span)].strip() == "You can return a kettle within 30 days."
        assert other[slice(*found.other_span)].strip().startswith("A kettle can be returned")
        assert found.kind == "contradiction"

    def test_of_the_same_text_are_one_duplicate(self):
        text = "Descale the kettle every month with vinegar, then rinse it twice with water."
        (found,) = differences(text, f"Care. {text}")
        assert (found.kind, found.reason) == ("duplicate", "SAME_TEXT")
        assert (
            same_text(text, "The parcel is tracked by the carrier and arrives in a week or so.")
            == 0
        )

    def test_of_different_languages_are_not_looked_for(self):
        assert differences("The pump runs at 12V.", "The pump runs at 24V.", "en", "de") == []


def test_pairs_that_were_written_after_the_rules_are_mostly_told_right():
    found = conflicts.figures([pair for pair in conflicts.judged() if pair.later])
    assert found.precision >= 0.9
    assert found.recall >= 0.7


def test_titles_that_name_different_models_are_of_different_things():
    assert different_things("Kettle X200", "Kettle X300")
    assert not different_things("Kettle X200", "Kettles")
    assert not different_things("Returns", "Refunds")
