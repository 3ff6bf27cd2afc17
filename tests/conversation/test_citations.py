"""Citations are kept only when they are true."""

from dataclasses import replace

import pytest
from conversation.citations import Citation, Passage, verified
from hypothesis import given
from hypothesis import strategies as st

TEXT = "Halte den Knopf 10 Sekunden. 🟠 leuchtet. Straße."
PASSAGE = Passage("chunk", "doc", "Reset", "", (), TEXT, 0.9)
ANSWER = "Hold the button for ten seconds."


def cite(words: str, **changes) -> Citation:
    start = TEXT.index(words)
    true = Citation("doc", "chunk", "", "", start, start + len(words), words, 0, len(ANSWER))
    return replace(true, **changes)


class TestVerified:
    def test_keeps_true_ones_counting_code_points(self):
        after_emoji = cite("Straße")
        assert verified([after_emoji], [PASSAGE], ANSWER) == ([after_emoji], 0)

    @pytest.mark.parametrize(
        "changes",
        [
            {"quote": "etwas anderes"},
            {"start": 1},
            {"end": 400},
            {"start": -5},
            {"start": 5, "end": 5, "quote": ""},
            {"start": 6, "end": 2},
            {"chunk_id": "unknown"},
            {"document_id": "another"},
            {"answer_start": 10, "answer_end": 10},
            {"answer_end": 400},
            {"answer_start": -1},
        ],
    )
    def test_drops_and_counts_untrue_ones(self, changes):
        assert verified([cite("Knopf", **changes), cite("10")], [PASSAGE], ANSWER) == (
            [cite("10")],
            1,
        )

    def test_keeps_each_once_in_the_order_of_the_answer(self):
        first, second = cite("10", answer_end=5), cite("Knopf", answer_start=6)
        kept, dropped = verified([second, first, second], [PASSAGE], ANSWER)
        assert (kept, dropped) == ([first, second], 0)

    @given(st.integers(-5, 60), st.integers(-5, 60), st.integers(-5, 60), st.integers(-5, 60))
    def test_never_keeps_a_quote_that_does_not_stand_there(self, start, end, at, to):
        made_up = Citation("doc", "chunk", "", "", start, end, TEXT[2:9], at, to)
        kept, _ = verified([made_up], [PASSAGE], ANSWER)
        assert all(TEXT[each.start : each.end] == each.quote for each in kept)
        assert all(0 <= each.answer_start < each.answer_end <= len(ANSWER) for each in kept)
