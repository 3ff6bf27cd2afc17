"""Which questions are difficult, and how many of them."""

from dataclasses import replace

import pytest
from llm_gateway.question import Passage, Question, Turn
from llm_gateway.routing import difficulty, is_difficult, load_weights, signals

PASSAGES = tuple(
    Passage(name, name, "Manual", (), text, 1.0)
    for name, text in (
        ("ports", "The router has four LAN ports."),
        ("weight", "The router weighs 300 grams."),
    )
)
PLAIN = Question("m", "", (), PASSAGES, "How many LAN ports?", 100, 0, False, relevance=0.9)
WEIGHTS = load_weights()


def asking(text: str) -> Question:
    return replace(PLAIN, text=text)


class TestDifficulty:
    @pytest.mark.parametrize(
        "harder",
        [
            replace(PLAIN, relevance=0.5),
            asking("How many LAN ports, and what does it weigh?"),
            asking("How many LAN ports? What does it weigh?"),
            asking("Wie viele LAN ports, und was wiegt er?"),
            asking("How many LAN ports compared with the other router?"),
            asking("Combien de prises réseau ?"),
            replace(asking("And ports?"), history=(Turn(True, "What is in the box?"),)),
        ],
    )
    def test_is_greater_than_of_a_plain_question(self, harder: Question) -> None:
        assert 0 < difficulty(PLAIN, WEIGHTS) < difficulty(harder, WEIGHTS) < 1

    def test_words_that_only_several_passages_have_are_told_apart(self) -> None:
        assert signals(asking("ports grams"))["spread"] == 0.5
        assert signals(asking("ports router"))["spread"] == 0

    def test_bears_nothing_to_judge_by(self) -> None:
        assert 0 < difficulty(replace(asking("?!"), passages=()), WEIGHTS) < 1


class TestShare:
    def test_of_nothing_is_never_and_of_all_is_always(self) -> None:
        assert not is_difficult(asking("Compare? And? And?"), 0, WEIGHTS)
        assert is_difficult(PLAIN, 1000, WEIGHTS)

    def test_is_a_threshold_on_the_questions_fitted_on(self) -> None:
        scores = [difficulty(PLAIN, WEIGHTS)]
        quantiles = tuple(scores[0] - 0.5 + number / 100 for number in range(101))
        weights = replace(WEIGHTS, quantiles=quantiles)
        # It stands in the middle: the upper 51 % have it, the upper 49 % don't.
        assert is_difficult(PLAIN, 510, weights)
        assert not is_difficult(PLAIN, 490, weights)
