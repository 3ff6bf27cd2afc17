"""What a query asks for to the letter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrieval.index.exact import asked_exactly


class TestAskedExactly:
    @pytest.mark.parametrize(
        ("query", "strings"),
        [
            ("What does E-1042 mean?", ("e-1042",)),
            ("error 0x80070057 in avrdude.conf", ("0x80070057", "avrdude.conf")),
            ("it says “tank is empty”, why?", ("tank is empty",)),
            ("parseInt() of my_file", ("parseint", "my_file")),
            ("How do I reset it? It is 5 years old.", ()),
            ("a well-known brand", ()),
        ],
    )
    def test_are_identifiers_and_quoted_phrases(self, query, strings):
        assert asked_exactly(query).strings == strings

    @given(st.text(max_size=300), st.text(max_size=300))
    def test_bears_any_text(self, query, text):
        asked = asked_exactly(query)
        assert 0 <= asked.found(text) <= 1
        assert 0 <= asked.adjacent(text) <= 1


class TestFound:
    def test_is_the_share_that_stands_there_whole(self):
        asked = asked_exactly("E-10 or E-1042")
        assert asked.found("the code e-1042 is shown") == 0.5
        assert asked.found("codes e-10, e-1042.") == 1.0
        assert asked_exactly("reset").found("reset") == 0.0


class TestAdjacent:
    def test_is_the_share_of_telling_neighbours(self):
        asked = asked_exactly("How do I reset the water tank filter?")
        assert asked.pairs == ("water tank", "tank filter")
        assert asked.adjacent("fill the water tank") == 0.5
