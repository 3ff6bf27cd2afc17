"""What to do with a question."""

import math
from dataclasses import replace

import pytest
from conversation.decision import (
    Answer,
    AskBack,
    Chat,
    Evidence,
    HandOver,
    Rules,
    Topic,
    candidate_topics,
    confidence,
    decide,
    places_of,
)
from hypothesis import given
from hypothesis import strategies as st

RULES = Rules(answer_threshold=0.5, handoff_threshold=0.3)
ROUTER = Topic("a", "Reset the router", 0.8)
CAMERA = Topic("b", "Reset the camera", 0.7)
QUESTION = "How do I reset it?"


def evidence(relevance: float, *topics: Topic, entitled: bool = True, asked_back: bool = False):
    return Evidence(relevance, topics, entitled, asked_back)


class TestDecide:
    @pytest.mark.parametrize(
        ("relevance", "topics", "decision"),
        [
            (0.9, (ROUTER, CAMERA), Answer()),
            (0.5, (ROUTER,), Answer()),
            (0.49, (ROUTER, CAMERA), AskBack(("Reset the router", "Reset the camera"))),
            (0.3, (CAMERA, ROUTER), AskBack(("Reset the router", "Reset the camera"))),
            (0.49, (ROUTER,), HandOver("missing_knowledge")),
            (0.29, (ROUTER, CAMERA), HandOver("missing_knowledge")),
            (0.9, (), HandOver("missing_knowledge")),
        ],
    )
    def test_goes_by_relevance_between_the_thresholds(self, relevance, topics, decision):
        assert decide(QUESTION, evidence(relevance, *topics), RULES) == decision

    def test_asks_back_only_once(self):
        found = evidence(0.4, ROUTER, CAMERA, asked_back=True)
        assert decide(QUESTION, found, RULES) == HandOver("missing_knowledge")

    def test_answers_after_asking_back(self):
        found = evidence(0.8, ROUTER, CAMERA, asked_back=True)
        assert decide(QUESTION, found, RULES) == Answer()

    def test_hands_over_when_the_plan_does_not_allow_an_answer(self):
        found = evidence(0.9, ROUTER, entitled=False)
        assert decide(QUESTION, found, RULES) == HandOver("usage_limit")

    def test_hands_over_on_request_whatever_is_known_and_allowed(self):
        found = evidence(0.9, ROUTER, entitled=False)
        wish = "I want to talk to a human about my refund"
        rules = Rules(0.5, 0.3, handoff_phrases=("refund",))
        assert decide(wish, found, rules) == HandOver("visitor_request")

    def test_hands_over_what_the_tenant_keeps_for_persons(self):
        rules = Rules(0.5, 0.3, handoff_phrases=("refund",))
        found = evidence(0.9, ROUTER)
        assert decide("Where is my refund?", found, rules) == HandOver("policy")

    def test_answers_small_talk_with_small_talk(self):
        assert decide("Hi there!", evidence(0.0), RULES) == Chat("greeting")

    def test_thresholds_that_are_equal_leave_no_room_to_ask_back(self):
        rules = Rules(0.4, 0.4)
        found = [evidence(each, ROUTER, CAMERA) for each in (0.39, 0.4)]
        assert [decide(QUESTION, each, rules) for each in found] == [
            HandOver("missing_knowledge"),
            Answer(),
        ]

    def test_a_relevance_that_is_no_number_hands_over(self):
        # NaN is neither below nor above: it must not be taken for an answer.
        decision = decide(QUESTION, evidence(math.nan, ROUTER), RULES)
        assert decision == HandOver("missing_knowledge")


class TestVagueQuestions:
    PLACES = ("Router › Reset", "Camera")
    NEAREST = AskBack(PLACES, vague=True)

    @pytest.mark.parametrize("relevance", [0.3, 0.49, 0.5, 0.89])
    def test_what_points_nowhere_is_asked_back_with_the_nearest_places(self, relevance):
        found = Evidence(relevance, (ROUTER,), True, points_nowhere=True, places=self.PLACES)
        assert decide(QUESTION, found, RULES) == self.NEAREST

    @pytest.mark.parametrize(
        ("answer_threshold", "relevance", "answered"),
        [(0.5, 0.9, True), (0.95, 0.9, False), (0.95, 0.95, True)],
    )
    def test_it_is_answered_where_the_knowledge_has_its_words(
        self, answer_threshold, relevance, answered
    ):
        found = Evidence(relevance, (ROUTER,), True, points_nowhere=True)
        decision = decide(QUESTION, found, Rules(answer_threshold, 0.3))
        assert isinstance(decision, Answer) == answered

    def test_a_single_word_is_asked_back_below_the_threshold(self):
        below = Evidence(0.1, (ROUTER,), True, one_word=True, places=self.PLACES)
        above = replace(below, relevance=0.5)
        assert [decide("reset", each, RULES) for each in (below, above)] == [self.NEAREST, Answer()]

    @pytest.mark.parametrize("places", [(), PLACES])
    def test_where_next_to_nothing_is_found_it_is_asked_all_the_same(self, places):
        found = Evidence(0.29, (ROUTER,), True, points_nowhere=True, places=places)
        assert decide(QUESTION, found, RULES) == AskBack((), vague=True)

    def test_the_second_one_is_handed_over(self):
        found = Evidence(0.6, (ROUTER, CAMERA), True, asked_back=True, points_nowhere=True)
        assert decide(QUESTION, found, RULES) == HandOver("missing_knowledge")

    def test_what_the_plan_does_not_allow_is_handed_over(self):
        found = Evidence(0.6, (ROUTER,), False, points_nowhere=True)
        assert decide(QUESTION, found, RULES) == HandOver("usage_limit")

    def test_the_first_three_places_are_named_by_title_and_nearest_heading(self):
        found = [("Router", ["Guide", "Reset"]), ("Router", ["Reset"]), ("Lamp", ["Lamp"])]
        assert places_of([*found, (" ", [])]) == ("Router › Reset", "Lamp")
        assert places_of([*found, ("", ["Other"]), ("Modem", [])])[2:] == ("Other",)


class TestCandidateTopics:
    def test_names_each_document_and_title_once(self):
        same_title = Topic("c", " reset the ROUTER ", 0.75)
        assert candidate_topics([ROUTER, same_title, ROUTER, CAMERA]) == [ROUTER, CAMERA]

    def test_leaves_out_what_is_far_behind_or_has_no_title(self):
        far, untitled = Topic("d", "Pricing", 0.3), Topic("e", " ", 0.8)
        assert candidate_topics([far, untitled, ROUTER]) == [ROUTER]


class TestConfidence:
    def test_is_the_product_of_relevance_and_support(self):
        assert confidence(0.9, 0.8, cited=2, dropped=0) == pytest.approx(0.72)

    def test_falls_with_the_share_of_citations_that_did_not_hold(self):
        assert confidence(1.0, 1.0, cited=3, dropped=1) == pytest.approx(0.75)

    def test_is_nothing_without_citations(self):
        assert confidence(1.0, 1.0, cited=0, dropped=0) == 0.0

    @given(st.floats(), st.floats(), st.integers(0, 50), st.integers(0, 50))
    def test_is_between_0_and_1_whatever_comes(self, relevance, support, cited, dropped):
        assert 0.0 <= confidence(relevance, support, cited, dropped) <= 1.0
