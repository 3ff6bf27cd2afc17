"""What of a passage can be said by itself: titles can't, rows of tables can."""

from llm_gateway.extractive.units import units

TABLE = """command | what it does
make up | starts the fleet
make down | stops it; the data stays"""


def said(passage: str) -> list[str]:
    return [unit.text for unit in units(passage)]


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
