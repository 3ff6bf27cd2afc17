"""Index terms: what a word becomes, the same way in passages and queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrieval.index.terms import MAX_TERM_CHARS, terms, weighted_terms


class TestTerms:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Connecting connected CONNECTION", ["connect", "connect", "connect"]),
            ("How do I reset it?", ["reset"]),
            ("error E-1042", ["error", "e-1042", "e", "1042"]),
            ("0x80070057", ["0x80070057"]),
            ("avrdude.conf", ["avrdude.conf", "avrdud", "conf"]),
            ("Serial.parseInt()", ["serial.parseint", "serial", "parseint", "pars", "int"]),
            ("C++ and C#", ["c++", "c", "c#", "c"]),
            ("don't the board's", ["board"]),
            ("the pass-through", ["pass-through", "pass"]),
            ("it is off, not on", ["off", "not", "on"]),
            ("Größe café", ["größe", "café"]),
            ("___ --- ...", []),
            ("", []),
        ],
    )
    def test_keeps_identifiers_whole_and_stems_words(self, text, expected):
        assert terms(text) == expected

    def test_cuts_scripts_without_spaces_into_pairs(self):
        assert terms("充電方法") == ["充電", "電方", "方法"]

    def test_reads_full_width_letters_as_plain_ones(self):
        assert terms("ＵＳＢ") == terms("USB")

    @given(st.text(max_size=300))
    def test_bears_any_text(self, text):
        found = terms(text)
        assert all(0 < len(term) <= MAX_TERM_CHARS for term in found)
        assert found == terms(text)


class TestWeightedTerms:
    def test_counts_the_context_by_its_weight(self):
        assert weighted_terms("reset reset lamp", "lamp", 2.0) == {"reset": 2.0, "lamp": 3.0}
