"""A chosen sentence comes with what it speaks of."""

import numpy as np
import pytest
from llm_gateway.extractive.composing import compose
from llm_gateway.extractive.ranking import Candidate, Ranked
from llm_gateway.extractive.units import UnitKind, units
from llm_gateway.question import Passage


def answer(text: str, *wanted: str, heading: str = "The hub", asked: bool = False) -> str:
    """The answer made of the units that begin with these texts, the best first."""
    passage = Passage("c", "d", "Manual", (heading,) if heading else (), text, 0.0)
    found = units(text)
    ranked = [
        Ranked(Candidate(unit, passage, 0, (start,), frozenset()), 9.0, 0.9, vector, asked)
        for start, vector in zip(wanted, np.eye(len(wanted), dtype=np.float32), strict=True)
        for unit in found
        if unit.text.startswith(start)
    ]
    assert len(ranked) == len(wanted)
    parts = compose(ranked, {"c": found}, 0.2, 1024, wants_steps=False)
    return "".join(part.glue + part.unit.text for part in parts)


class TestASentenceThatRefersBack:
    def test_takes_along_the_ones_before(self):
        text = "The hub has a fan. It is quiet. It starts above 60 degrees. It has two speeds."
        assert answer(text, "It starts") == text.removesuffix(" It has two speeds.")

    def test_also_from_the_paragraph_before(self):
        text = "The hub has a fan.\n\nIt starts above 60 degrees."
        assert answer(text, "It starts") == "The hub has a fan. It starts above 60 degrees."

    def test_but_not_from_under_another_heading(self):
        text = "The hub has a fan.\n\n## The lamp\n\nIt turns green after a minute."
        assert answer(text, "It turns") == "The lamp: It turns green after a minute."

    @pytest.mark.parametrize(
        "said",
        [
            "This deletes everything on it.",
            "They last for two years.",
            "Dieser Vorgang dauert eine Minute.",
            "Dabei werden alle Daten gelöscht.",
            "Das dauert etwa eine Minute.",
        ],
    )
    def test_comes_after_its_heading_where_nothing_stands_before(self, said: str):
        assert answer(said, said) == f"The hub: {said}"
        assert answer(said, said, heading="What is it?") == f"What is it? {said}"
        assert answer(said, said, heading="") == f"Manual: {said}"

    def test_also_after_another_sentence_of_the_answer(self):
        text = "A lamp is on top.\n\n## The fan\n\nIt starts above 60 degrees."
        assert answer(text, "A lamp", "It starts").endswith(
            "\nThe fan: It starts above 60 degrees."
        )

    def test_needs_no_heading_that_was_asked_itself(self):
        said = "It starts above 60 degrees."
        assert answer(said, said, heading="When does the fan start?", asked=True) == said

    @pytest.mark.parametrize(
        "said",
        [
            "It is possible to pair two hubs.",
            "Items are sent within a day.",
            "Otherwise press it again.",
            "Sie können zwei Geräte verbinden.",
            "Es gibt drei Stufen.",
        ],
    )
    def test_others_stand_alone(self, said: str):
        assert answer(said, said) == said


class TestListsAndTables:
    ITEMS = "\n".join(
        f"- Mode {number} {'is described here at length ' * 5}" for number in range(6)
    )

    def test_an_item_of_a_long_list_comes_with_the_line_that_announces_it(self):
        text = f"The hub has these modes:\n\n{self.ITEMS}"
        assert {unit.kind for unit in units(text)[1:]} == {UnitKind.ITEM}
        assert answer(text, "Mode 3").startswith("The hub has these modes:\nMode 3 is")

    def test_a_row_comes_with_it_too(self):
        text = "Weight by model:\n\n| model | weight |\n|---|---|\n| R7 | 300 g |\n| R8 | 350 g |"
        assert answer(text, "R8") == "Weight by model:\nR8: 350 g"

    def test_without_such_a_line_it_stands_alone(self):
        text = f"The hub has modes.\n\n{self.ITEMS}"
        assert answer(text, "Mode 3").startswith("Mode 3 is")
