"""Fusion and relevance: what the scores may be, and what they say."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrieval.index import bm25, ranking, relevance
from retrieval.index.ranking import Candidate, QueryFacts
from retrieval.index.terms import terms
from retrieval.index.weights import FusionWeights, load_weights

EVEN = FusionWeights({"dense": 1.0, "words": 1.0, "keyword": 1.0})
NOTHING = QueryFacts((), {}, 0, {})


def candidate(number: int, cosine: float | None, score: float) -> Candidate:
    return Candidate(number, cosine, score, None, None)


class TestIdf:
    def test_is_never_negative_and_falls_with_frequency(self):
        values = [bm25.idf(frequency, 10) for frequency in range(11)]
        assert values == sorted(values, reverse=True)
        assert values[-1] > 0


class TestScore:
    def test_is_the_textbook_formula(self):
        stats = bm25.CorpusStats(chunk_count=2, length_sum=10.0)
        found = bm25.score({"lamp": 2.0}, 4.0, {"lamp": 1, "off": 1}, {"lamp": 1, "off": 2}, stats)
        by_hand = math.log(1 + 1.5 / 1.5) * 2.0 * 2.2 / (2.0 + 1.2 * (0.25 + 0.75 * 4.0 / 5.0))
        assert found == pytest.approx(by_hand)


class TestRank:
    def test_puts_first_what_both_rankings_like(self):
        ranked = ranking.rank(
            [candidate(1, 0.9, 1.0), candidate(2, 0.8, 9.0), candidate(3, 0.1, 8.0)],
            NOTHING,
            EVEN,
        )
        assert [item.candidate.chunk_no for item in ranked] == [2, 1, 3]

    def test_goes_by_words_when_there_are_no_vectors(self):
        ranked = ranking.rank([candidate(1, None, 1.0), candidate(2, None, 2.0)], NOTHING, EVEN)
        assert [item.candidate.chunk_no for item in ranked] == [2, 1]

    def test_goes_by_vectors_when_no_word_matches(self):
        ranked = ranking.rank([candidate(1, 0.1, 0.0), candidate(2, 0.2, 0.0)], NOTHING, EVEN)
        assert [item.candidate.chunk_no for item in ranked] == [2, 1]

    def test_puts_first_what_has_the_identifier_asked_for(self):
        plain, exact = candidate(1, 0.6, 5.0), replace(candidate(2, 0.55, 4.8), keyword=1.0)
        rest = [candidate(n, 0.1, 0.5) for n in range(3, 20)]
        ranked = ranking.rank([plain, exact, *rest], NOTHING, load_weights().fusion)
        assert ranked[0].candidate is exact

    @given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 60)), min_size=1, max_size=80))
    def test_gives_scores_from_0_to_1_in_order(self, scores):
        given_ = [candidate(n, cosine, score) for n, (cosine, score) in enumerate(scores)]
        ranked = ranking.rank(given_, NOTHING, load_weights().fusion)
        fused = [item.fused for item in ranked]
        assert fused == sorted(fused, reverse=True)
        assert all(0 <= value <= 1 for value in fused)
        assert {item.candidate for item in ranked} == set(given_)


def judge(cosine: float | None, matched: int, *, chunks: int = 500, terms: int = 3) -> float:
    words = tuple(f"t{n}" for n in range(terms))
    facts = QueryFacts(
        terms=words,
        frequencies=dict.fromkeys(words[:matched], 3),
        chunk_count=chunks,
        matched={0: frozenset(words[:matched])},
    )
    found = [candidate(0, cosine, 4.0 * matched)]
    found += [candidate(n, None if cosine is None else cosine / 2, 0.1) for n in range(1, 20)]
    weights = load_weights()
    return relevance.probability(
        ranking.rank(found, facts, weights.fusion),
        facts,
        {0: " ".join(words[:matched])},
        weights.relevance,
    )


class TestProbability:
    def test_rises_with_similarity_and_with_shared_words(self):
        assert judge(0.2, 0) < judge(0.5, 1) < judge(0.8, 3)
        assert judge(0.8, 3) > 0.8
        assert judge(0.15, 0) < 0.2

    def test_without_vectors_rests_on_words(self):
        assert judge(None, 0) < 0.3 < 0.6 < judge(None, 3)

    def test_of_two_words_rests_on_less(self):
        assert judge(0.6, 2, terms=2) > 0.6
        assert judge(0.2, 1, terms=2) < 0.3

    def test_of_nothing_is_nothing(self):
        weights = load_weights().relevance
        facts = QueryFacts((), {}, 0, {})
        assert relevance.probability([], facts, {}, weights) == 0

    @pytest.mark.parametrize("chunks", [1, 3, 50, 100_000])
    def test_is_a_probability_for_any_size_of_knowledge(self, chunks):
        assert 0 < judge(0.4, 1, chunks=chunks) < 1


FAQ = "Router > Questions\nWhich port does it use?\nIt listens on port 8080.\nWhere is it?\nHere."


class TestAsked:
    """A question that stands in a passage is answered by what follows it there."""

    @pytest.mark.parametrize(
        ("query", "passage"),
        [
            ("Which port does it use?", FAQ),
            ("which port is used", FAQ),
            ("Where is it?", FAQ),
            ("How do I change my password?", "Manual > Changing a password\nOpen the settings."),
        ],
    )
    def test_is_likely_answered(self, query, passage):
        assert self.asked(query, passage) >= 0.95

    @pytest.mark.parametrize(
        ("query", "passage"),
        [
            ("Which port does the printer use?", FAQ),
            ("Where is the printer?", FAQ),
            ("Where was it?", FAQ),
            # Nothing follows, or only further questions do.
            ("Which port does it use?", "Router\nHere.\nWhich port does it use?"),
            ("Which port does it use?", "Router\nWhich port does it use?\nWhere is it?"),
            # No question and no heading.
            ("Which port does it use?", "Router\nIt uses the port. Look there."),
        ],
    )
    def test_otherwise_goes_by_the_signals(self, query, passage):
        assert self.asked(query, passage) < 0.95

    def asked(self, query: str, passage: str) -> float:
        facts = QueryFacts(tuple(terms(query)), {}, 50, {}, text=query)
        ranked = ranking.rank([candidate(0, 0.1, 0.1)], facts, load_weights().fusion)
        return relevance.probability(ranked, facts, {0: passage}, load_weights().relevance)


class TestWeights:
    def test_say_where_they_come_from(self):
        import json
        from importlib.resources import files

        data = json.loads((files("retrieval.index") / "weights.json").read_text())
        assert data["version"]
        assert data["provenance"]["by"]
        assert data["provenance"]["embedding_model"]
        assert data["provenance"]["questions"]
