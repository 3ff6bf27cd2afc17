"""What of a model's text may be shown while another model could still take over."""

import pytest
from llm_gateway.gate import Gate, NotSupported, Shown
from llm_gateway.question import Cited, Passage, Question, TextDelta

TEXT = "A refund takes 14 days. Parcels up to 1,500 g are free. Call us within two weeks of fifty."
PASSAGE = Passage("c1", "d1", "Refunds 2026", ("Prices",), TEXT, 1.0)
SENTENCES = [(0, 23), (24, 55), (56, len(TEXT))]


def question(text: str = "Refund?") -> Question:
    return Question("m", "Never promise 99 %.", (), (PASSAGE,), text, 100, 0, False)


class Model:
    """Feeds a gate as a provider does: text, then what it rests on."""

    def __init__(self, gate: Gate, shown: Shown) -> None:
        self._gate = gate
        self._shown = shown
        self._length = 0
        self.citations: list[Cited] = []

    def says(self, text: str, *cites: int) -> str:
        """What came out by saying this, some of it from before."""
        out = self._gate.take(TextDelta(text))
        start, self._length = self._length, self._length + len(text)
        for sentence in cites:
            out += self._gate.take(Cited(PASSAGE, *SENTENCES[sentence], start, self._length))
        return self._noted(out)

    def ends(self) -> str:
        return self._noted(self._gate.end()) + self._noted(self._gate.remark())

    def _noted(self, pieces: list[TextDelta | Cited]) -> str:
        for piece in pieces:
            self._shown.add(piece)
        self.citations += [piece for piece in pieces if isinstance(piece, Cited)]
        return "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def model(shown: Shown) -> Model:
    return Model(Gate(question(), shown), shown)


class TestFirstModel:
    def test_a_sentence_comes_out_when_its_citation_is_there_and_the_next_begins(
        self, model: Model, shown: Shown
    ) -> None:
        assert model.says("You wait 14 days. ", 0) == ""
        assert model.says("Parcels are free. ", 1) == "You wait 14 days. "
        assert model.ends() == "Parcels are free. "
        assert shown.support == 1
        assert [shown.text[c.answer_start : c.answer_end] for c in model.citations] == [
            "You wait 14 days. ",
            "Parcels are free. ",
        ]

    def test_half_a_sentence_does_not(self, model: Model) -> None:
        assert model.says("You wait 14 days, ", 0) == ""
        assert model.says("and parcels are free.", 1) == ""
        assert model.says(" Really.") == "You wait 14 days, and parcels are free."

    def test_a_line_of_a_list_does(self, model: Model) -> None:
        model.says("- 14 days", 0)
        assert model.says("\n- free parcels", 1) == "- 14 days"

    def test_an_opening_waits_for_what_it_opens(self, model: Model) -> None:
        assert model.says("Good question! ") == ""
        assert model.says("You wait 14 days. ", 0) == ""
        assert model.ends() == "Good question! You wait 14 days. "

    def test_a_remark_may_close_it(self, model: Model) -> None:
        model.says("You wait 14 days.", 0)
        assert model.says(" Anything else?") == "You wait 14 days."
        assert model.ends() == " Anything else?"

    def test_a_long_text_without_citation_is_not_supported(self, model: Model) -> None:
        model.says("You wait 14 days. ", 0)
        model.says("And " * 100)
        with pytest.raises(NotSupported):
            model.ends()
        with pytest.raises(NotSupported):
            model.says("so on " * 100)


class TestNumbers:
    @pytest.mark.parametrize(
        "text",
        [
            "It takes 14 days.",
            "Up to 1500 g.",
            "Up to 1.500 g.",
            "Up to 1 500 g.",
            "Fifty is 50.",
            "Since 2026, never 99 %.",
            "In 2 weeks.",
            "11. It takes 14 days.",
            "Nothing to count.",
        ],
    )
    def test_that_were_given_pass(self, model: Model, text: str) -> None:
        model.says(text, 0)
        assert model.ends() == text

    @pytest.mark.parametrize(
        "text", ["It takes 15 days.", "Up to 15,000 g.", "Since 2025.", "14 days and 30 hours."]
    )
    def test_that_nobody_gave_are_not_supported(self, model: Model, text: str) -> None:
        model.says(text, 0)
        with pytest.raises(NotSupported):
            model.ends()

    def test_of_the_question_pass(self, shown: Shown) -> None:
        model = Model(Gate(question("My order 88123?"), shown), shown)
        model.says("Order 88123 takes 14 days.", 0)
        assert model.ends() == "Order 88123 takes 14 days."


class TestNextModel:
    @pytest.fixture
    def model(self, shown: Shown) -> Model:
        shown.add(TextDelta("You wait 14 days."))
        shown.add(Cited(PASSAGE, *SENTENCES[0], 0, 17))
        return Model(Gate(question(), shown), shown)

    @pytest.mark.parametrize(
        ("text", "cites", "added"),
        [
            ("Parcels are free.", (1,), " Parcels are free."),
            (" Parcels are free.", (1,), " Parcels are free."),
            ("- Parcels are free.", (1,), "\n\n- Parcels are free."),
            ("You wait 14 days. Parcels are free.", (1,), " Parcels are free."),
            ("YOU WAIT 14 DAYS! Parcels are free.", (1,), " Parcels are free."),
            ("You wait 14 days.", (0,), ""),
            ("It takes 14 days.", (0,), ""),
            ("It takes 14 days and is free.", (0, 1), " It takes 14 days and is free."),
        ],
    )
    def test_adds_what_was_not_said(
        self, model: Model, shown: Shown, text: str, cites: tuple[int, ...], added: str
    ) -> None:
        model.says(text, *cites)
        assert model.ends() == added
        assert shown.text == "You wait 14 days." + added
        for cited in model.citations:
            assert 17 < cited.answer_start < cited.answer_end == len(shown.text)

    def test_closes_without_a_remark(self, model: Model, shown: Shown) -> None:
        model.says("Parcels are free.", 1)
        model.says(" Anything else?")
        assert model.ends() == ""
        assert shown.text == "You wait 14 days. Parcels are free."
