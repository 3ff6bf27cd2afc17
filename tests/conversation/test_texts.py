"""Texts that people write."""

import pytest
from conversation.texts import MAX_TITLE_CHARS, check_text, title_of
from fleetkit.errors import InvalidArgument
from hypothesis import given
from hypothesis import strategies as st


class TestCheckText:
    @pytest.mark.parametrize("text", ["a", "ß" * 8_000, "🙂", " x "])
    def test_lets_texts_pass(self, text):
        check_text(text)

    @pytest.mark.parametrize(
        ("text", "remedy"),
        [
            ("", "write something"),
            (" \n\t", "write something"),
            ("a" * 16_001, "at most 16,000"),
            ("ß" * 8_001, "at most 16,000"),
            ("a\0b", "remove it"),
        ],
    )
    def test_says_what_would_be_right(self, text, remedy):
        with pytest.raises(InvalidArgument) as caught:
            check_text(text)
        assert caught.value.field == "text"
        assert remedy in caught.value.message


class TestTitleOf:
    def test_is_the_first_words_in_one_line(self):
        assert title_of("  How do I\n\nreset it? ") == "How do I reset it?"
        assert title_of("word " * 100) == "word " * 23 + "word…"

    def test_cuts_what_has_no_words(self):
        assert title_of("漢" * 300) == "漢" * 119 + "…"

    @given(st.text())
    def test_is_never_too_long(self, text):
        assert len(title_of(text)) <= MAX_TITLE_CHARS
