"""Which candidates are worth a vector: those that could still stand in the answer.

A vector costs some 8 ms of a core, the words of a unit nothing. A unit's score is bounded by its
words and its heading's vector, because no cosine is above 1; so the best are embedded first, and
the rest only while their bound comes within reach of the best unit that is supported. What is left
out could not have been chosen: the answer is the one that all vectors would give.
"""

from collections.abc import Generator, Sequence

from llm_gateway.extractive.composing import NEARLY
from llm_gateway.extractive.ranking import (
    Candidate,
    Query,
    Ranked,
    Vector,
    Vectors,
    Weights,
    most_score,
    rank,
)

# Two workers' worth of work at a time. Fewer at once mean fewer texts in more turns; with 4, half
# of the texts of three labelled sets are embedded (10.8 of 21.4 a question) in 2.8 turns.
_AT_ONCE = 4

# Texts out, their vectors in, and in the end the candidates that count.
Choosing = Generator[list[str], Sequence[Vector], list[Ranked]]


def choosing(
    asked: str, query: Query, candidates: Sequence[Candidate], weights: Weights
) -> Choosing:
    """Yields texts, wants their vectors sent; returns the candidates that count, best first."""
    headings = [h for h in dict.fromkeys(candidate.heading for candidate in candidates) if h]
    question, *of_headings = yield [asked, *headings]
    by_heading = dict(zip(headings, of_headings, strict=True))
    bounds = {
        candidate: most_score(query, candidate, question, by_heading, weights)
        for candidate in candidates
    }
    waiting = sorted(candidates, key=bounds.__getitem__, reverse=True)
    place = {candidate: number for number, candidate in enumerate(candidates)}
    ranked: list[Ranked] = []
    while waiting:
        supported = (one.score for one in ranked if one.support >= weights.least_support)
        within_reach = max(supported, default=float("-inf")) - NEARLY
        turn = [c for c in waiting[:_AT_ONCE] if bounds[c] >= within_reach]
        if not turn:
            break
        units = yield [candidate.unit.text for candidate in turn]
        ranked += rank(query, turn, Vectors(question, units, by_heading), weights)
        waiting = waiting[len(turn) :]
    return sorted(ranked, key=lambda one: (-one.score, place[one.candidate]))
