"""What a reader sees of a piece of text, also of one that was written to hang its reader."""

import pytest
from llm_gateway.extractive.markup import plain
from llm_gateway.extractive.sentences import split
from llm_gateway.extractive.units import units

_LONG = 16_000


class TestPlain:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("use `a` and ``b ` c`` now", "use a and b ` c now"),
            ("`a``b`", "a``b"),
            ("an unclosed ` tick", "an unclosed ` tick"),
            ("a *b* **c** ***d*** _e_ ~~f~~", "a b c d e f"),
            ("in `logs/<name>.log` **or** `*_x_*`", "in logs/<name>.log or *_x_*"),
            ("`a\\*b` and \\*c\\*", "a\\*b and *c*"),
            ("logs/<name>.log<br/>and <A href='x'>a <i>link</i></A>", "logs/<name>.log and a link"),
            ("<b>`&lt;`</b> &lt;", "&lt; <"),
            ("see <https://a.example/b>", "see https://a.example/b"),
        ],
    )
    def test_leaves_the_marks_out(self, text: str, shown: str):
        assert plain(text) == shown

    def test_bears_marks_that_never_close(self):
        half = _LONG // 2
        assert plain("`" * half + "a" * half) == "`" * half + "a" * half
        for mark in ("*", "**", "_", "~~", "`", "[", "<http://"):
            assert plain(f"{mark}a " * (_LONG // (len(mark) + 2)))


class TestSplit:
    def test_ends_a_sentence_behind_its_closing_marks(self):
        text = "Wait... what? Yes!! **Bold.** It has 1.5 V. Done"
        sentences = [text[start:end] for start, end in split(text)]
        assert sentences == ["Wait... what?", "Yes!!", "**Bold.**", "It has 1.5 V.", "Done"]

    def test_bears_a_line_of_dots(self):
        assert split("Contents " + "." * _LONG + "7")


class TestUnits:
    @pytest.mark.parametrize("text", [".", "。", ". ", "| `", "- \n", "*a "])
    def test_bear_a_passage_of_marks(self, text: str):
        assert len(units(text * (_LONG // len(text)))) <= 200
