"""When a model's text may go out, whatever model it is."""

import pytest
from llm_gateway.providers.grounding import Grounding
from llm_gateway.question import Cited, Passage, TextDelta

PASSAGE = Passage(
    chunk_id="c1", document_id="d1", title="R7", heading_path=(), text="Four ports.", score=1.0
)
SPAN = (PASSAGE, 0, 11)


@pytest.fixture
def grounding() -> Grounding:
    return Grounding([PASSAGE])


class TestText:
    def test_waits_for_the_first_citation(self, grounding: Grounding) -> None:
        assert grounding.text("Well, it has ") == []
        assert grounding.end_block() == []
        assert grounding.text("four ports. ") == []
        grounding.cite(*SPAN)
        assert grounding.end_block() == [
            TextDelta("Well, it has "),
            TextDelta("four ports. "),
            Cited(*SPAN, 13, 25),
        ]
        assert grounding.text("And more ") == [TextDelta("And more ")]

    def test_goes_out_as_it_comes_once_its_citation_is_there(self, grounding: Grounding) -> None:
        grounding.text("Well, ")
        grounding.end_block()
        grounding.cite(*SPAN)
        assert not grounding.released
        assert grounding.text("four po") == [TextDelta("Well, "), TextDelta("four ")]
        assert grounding.released
        assert grounding.text("rts") == []
        assert grounding.end_block() == [TextDelta("ports"), Cited(*SPAN, 6, 16)]

    def test_a_citation_of_nothing_lets_nothing_out(self, grounding: Grounding) -> None:
        grounding.cite(*SPAN)
        assert grounding.end_block() == []
        assert grounding.text("It has wings. ") == []
        assert not grounding.released
