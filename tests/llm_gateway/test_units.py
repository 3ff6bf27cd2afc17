"""How passages are cut into units that stand for themselves, with exact spans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_gateway.extractive.markup import plain
from llm_gateway.extractive.sentences import split
from llm_gateway.extractive.units import Unit, UnitKind, units
from llm_gateway.providers.grounding import citable_blocks

GUIDE = """Setup guide
===========

The kit, e.g. the **R7**, needs 5.5 V. It comes with [two cables](https://example.com)!
A line that
is wrapped.

## Updating

<!-- reviewed -->
Do this, once:

1. Open *Settings*.
   Wait for the list.
2. Run the tool:

   ```
   tool --update
   ```

3. Restart.

| Model | Weight |
|-------|--------|
| R7    | 300 g  |

- Stand-alone bullets are items.

> [!NOTE]
> Notes count, too.

Copy this line:

```
echo done
```
"""


TABLE = """command | what it does
make up | starts the fleet
make down | stops it; the data stays"""


def said(passage: str) -> list[str]:
    return [unit.text for unit in units(passage)]


def of_kind(kind: UnitKind, text: str = GUIDE) -> list[Unit]:
    return [unit for unit in units(text) if unit.kind is kind]


class TestUnits:
    def test_sentences_are_shown_without_markup(self) -> None:
        assert [unit.text for unit in of_kind(UnitKind.SENTENCE)] == [
            "The kit, e.g. the R7, needs 5.5 V.",
            "It comes with two cables!",
            "A line that is wrapped.",
            "Notes count, too.",
        ]

    def test_steps_stay_together_with_their_lead_and_code(self) -> None:
        (steps,) = of_kind(UnitKind.STEPS)
        assert steps.text == (
            "Do this, once:\n1. Open Settings. Wait for the list.\n2. Run the tool:\n"
            "tool --update\n3. Restart."
        )
        assert steps.heading == "Setup guide > Updating"

    def test_rows_say_what_their_first_cell_is_about(self) -> None:
        assert [unit.text for unit in of_kind(UnitKind.ROW)] == ["R7: 300 g"]

    def test_code_comes_with_the_sentence_that_announces_it(self) -> None:
        assert [unit.text for unit in of_kind(UnitKind.CODE)] == ["Copy this line:\necho done"]

    def test_a_new_one_begins_another_list(self) -> None:
        text = "1. Do this.\n2. Do that.\n\nOr:\n\n1. Do nothing.\n2. Wait."
        assert [unit.text.count("\n") for unit in of_kind(UnitKind.STEPS, text)] == [1, 2]

    def test_lines_with_labels_after_a_colon_are_a_list(self) -> None:
        text = "Tap Sound for options:\nVolume: How loud it is.\nTone: What it plays."
        (made,) = units(text)
        assert made.kind is UnitKind.LIST
        assert made.text.splitlines()[1:] == ["- Volume: How loud it is.", "- Tone: What it plays."]

    def test_plain_text_of_a_pdf_has_titles_too(self) -> None:
        (made,) = units("Battery care\nKeep the battery between ten and ninety percent.")
        assert made.heading == "Battery care"

    def test_a_title_in_a_paragraph_of_its_own_is_a_heading(self) -> None:
        text = "What does it cost?\n\nIt costs nothing.\n\nWhat is missing\n\nNothing is missing."
        assert [unit.heading for unit in units(text)] == ["What does it cost?", "What is missing"]

    def test_what_points_elsewhere_is_marked(self) -> None:
        pointing = "Learn more about [boards](https://a.example). [All of this](x) is a link."
        assert [unit.is_pointer for unit in units(pointing)] == [True, False]
        assert units("[Only a link to another page](https://a.example)")[0].is_pointer

    @pytest.mark.parametrize("text", ["", " \n ", "# Only a heading", "```", "---", "| |", "<!--"])
    def test_nothing_gives_nothing(self, text: str) -> None:
        assert units(text) == []

    @given(st.text(alphabet=st.sampled_from("ab .:!\n-1#>|*`_[]()<>é。日\t"), max_size=300))
    def test_spans_are_in_order_within_the_text_and_blocks_are_all_of_it(self, text: str) -> None:
        at = 0
        for unit in units(text):
            assert at <= unit.start < unit.end <= len(text)
            assert text[unit.start : unit.end].strip()
            at = unit.end
        blocks = citable_blocks(text)
        assert text.startswith("".join(block.text for block in blocks))
        assert all(block.end <= len(text) for block in blocks)


class TestSentences:
    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("Dr. Smith paid $3.50 on Jan. 5. It was fine.", 2),
            ("Use v2.0.1 of it. Then go on… slowly.", 2),
            ("Is it on? Yes! “Good.” Go.", 4),
            ("See fig. 3, p. 4 and J. Doe et al. for it.", 1),
            ("電源を入れます。画面を見ます。", 2),
            ("iPhone users see this. macOS users do not.", 1),
            ("word " * 200, 2),
        ],
    )
    def test_are_counted_right(self, text: str, count: int) -> None:
        assert len(split(text)) == count


class TestPlain:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("**bold** and *it* and __b__ and _i_ and ~~s~~", "bold and it and b and i and s"),
            ("snake_case_name stays, 2 * 3 * 4 too", "snake_case_name stays, 2 * 3 * 4 too"),
            (
                "![picture](a.png) a [link](b_(c).html) <https://d.example>",
                "a link https://d.example",
            ),
            ("`x = 1` &lt;tag&gt; <br/> \\*star\\*", "x = 1 <tag> *star*"),
            ("Title{.anchor #id} **loose", "Title loose"),
        ],
    )
    def test_is_what_a_reader_sees(self, text: str, shown: str) -> None:
        assert plain(text) == shown


class TestTitles:
    def test_a_question_above_its_answer_is_a_title(self):
        found = units("Which port does it use?\nFleetdesk listens on port 8080 unless told so.")
        assert [unit.text for unit in found] == ["Fleetdesk listens on port 8080 unless told so."]
        assert found[0].heading == "Which port does it use?"

    def test_also_with_a_blank_line_between(self):
        assert said("How do I stop it?\n\nPress Ctrl-C in its terminal to stop it.") == [
            "Press Ctrl-C in its terminal to stop it."
        ]

    def test_a_question_at_the_end_is_not(self):
        assert said("Press Ctrl-C in its terminal.\n\nDo you want to delete the data as well?") == [
            "Press Ctrl-C in its terminal.",
            "Do you want to delete the data as well?",
        ]


class TestTables:
    def test_each_row_says_what_its_first_cell_is_about(self):
        assert said(TABLE) == [
            "make up: starts the fleet",
            "make down: stops it; the data stays",
        ]

    def test_wider_ones_name_their_columns(self):
        passage = "| plan | seats | price |\n|---|---|---|\n| Free | 2 | nothing at all |"
        assert said(passage) == ["Free: seats 2; price nothing at all"]

    def test_a_row_cites_itself_alone(self):
        row = units(TABLE)[1]
        assert TABLE[row.start : row.end] == "make down | stops it; the data stays"

    def test_a_bar_in_a_sentence_makes_no_table(self):
        passage = "Pipe it through a filter, as in a | b, to see less of it."
        assert said(passage) == [passage]
