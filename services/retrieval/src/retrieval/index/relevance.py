"""How likely the passages found answer the query.

A logistic regression on a few signals, fitted on questions with and without an answer, see
`retrieval.index.weights`. It judges by words and vectors, not by reading: a question about the
right topic that the passages leave open looks much like one that they answer. One rule is not
fitted: where a passage has the question itself, as people who write help pages put it, what follows
it is the answer.
"""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from retrieval.index.bm25 import K1, idf
from retrieval.index.ranking import QueryFacts, Ranked, rarity
from retrieval.index.terms import terms_in
from retrieval.index.weights import LogisticModel, RelevanceWeights

_TOP = 5
_READ = 3
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_CONTEXT_JOINT = " > "
_WORD = re.compile(r"\w+")
_MARGIN_RANK = 10
# The least probability of a question that stands in a passage.
_ASKED_THERE = 0.95
# Fewer are shared by questions about different things.
_LEAST_SAME_TERMS = 2
# So few different terms are a short query. One alone is judged as sternly as a whole question that
# hardly matches: it says too little, whatever it finds.
_SHORT_TERMS = (2, 3)


def probability(
    ranked: Sequence[Ranked],
    facts: QueryFacts,
    texts: Mapping[int, str],
    weights: RelevanceWeights,
) -> float:
    """0–1; 0 when nothing was found. Without vectors it rests on the words alone.

    `texts` are the passages' with their headings, by chunk_no; those of the first three count.
    """
    if not ranked:
        return 0.0
    return from_signals(signals(ranked, facts, texts), weights)


def is_short(found: Mapping[str, float]) -> bool:
    """Whether the signals are those of a short query."""
    fewest, most = _SHORT_TERMS
    return math.log1p(fewest) <= found["log_terms"] <= math.log1p(most)


def from_signals(found: Mapping[str, float], weights: RelevanceWeights) -> float:
    """The probability by the model for such signals, and at least `_ASKED_THERE` by the rule."""
    model = _model_for(found, weights)
    logit = model.bias + math.fsum(
        weight * found[name] for name, weight in model.coefficients.items()
    )
    return max(1.0 / (1.0 + math.exp(-logit)), _ASKED_THERE * found["asked_there"])


def _model_for(found: Mapping[str, float], weights: RelevanceWeights) -> LogisticModel:
    models = weights.short if is_short(found) else weights.usual
    return models.with_vector if "best_cosine" in found else models.without_vector


def signals(
    ranked: Sequence[Ranked], facts: QueryFacts, texts: Mapping[int, str]
) -> dict[str, float]:
    """The signals by name; those of vectors are absent when the query had none.

    `coverage` is the share of the query's terms, weighted by rarity, that a passage has, or one
    sentence of it; `asked_there` is 1 where a passage has the query as a question or a heading.
    """
    rarities = {
        term: rarity(facts.frequencies.get(term, 0), facts.chunk_count) for term in facts.terms
    }
    total = math.fsum(rarities.values()) or 1.0
    coverages = [
        math.fsum(rarities[t] for t in facts.matched.get(item.candidate.chunk_no, ())) / total
        for item in ranked[:_TOP]
    ]
    known = math.fsum(rarities[term] for term in facts.terms if term in facts.frequencies)
    read = [
        _sentences(texts.get(item.candidate.chunk_no, ""), facts.languages)
        for item in ranked[:_READ]
    ]
    found = {
        "top_coverage": coverages[0],
        "best_coverage": max(coverages),
        "known_terms": known / total,
        "log_terms": math.log1p(len(facts.terms)),
        "adjacent": max(item.candidate.adjacent for item in ranked[:_TOP]),
        "sentence_coverage": max(
            (
                math.fsum(rarities.get(term, 0.0) for term in sentence.terms)
                for sentences in read
                for sentence in sentences
            ),
            default=0.0,
        )
        / total,
        "asked_there": float(any(_asks(sentences, facts) for sentences in read)),
        **_word_signals(ranked, facts),
    }
    cosines = sorted(
        (i.candidate.cosine for i in ranked if i.candidate.cosine is not None), reverse=True
    )
    top = ranked[0].candidate.cosine
    if top is not None and cosines:
        found["best_cosine"] = cosines[0]
        found["top_cosine"] = top
        found["cosine_margin"] = cosines[0] - cosines[min(_MARGIN_RANK, len(cosines)) - 1]
    return found


class _Sentence(NamedTuple):
    text: str
    terms: set[str]
    is_heading: bool


def _sentences(text: str, languages: Sequence[str]) -> list[_Sentence]:
    """A passage's headings, which stand in its first line, and its sentences."""
    context, _, body = text.partition("\n")
    headings = context.split(_CONTEXT_JOINT)
    parts = [*((part, True) for part in headings), *((p, False) for p in _SENTENCE_END.split(body))]
    return [_Sentence(part, terms_in(part, languages), of_it) for part, of_it in parts if part]


def _asks(sentences: Sequence[_Sentence], facts: QueryFacts) -> bool:
    """Whether one of the sentences, and not the last, is the query: in its words or its terms.

    Of questions one after the other, as in a table of contents, none is answered there.
    """
    words, asked = _words(facts.text), set(facts.terms)
    for sentence, next_one in pairwise(sentences):
        is_question = sentence.text.rstrip().endswith("?")
        if not (is_question or sentence.is_heading) or next_one.text.rstrip().endswith("?"):
            continue
        same_terms = len(asked) >= _LEAST_SAME_TERMS and sentence.terms == asked
        if same_terms or (words and _words(sentence.text) == words):
            return True
    return False


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _word_signals(ranked: Sequence[Ranked], facts: QueryFacts) -> dict[str, float]:
    """`bm25_share`: the best score as a share of the highest that the query could give."""
    scores = sorted((item.candidate.bm25 for item in ranked), reverse=True)
    limit = (K1 + 1.0) * math.fsum(
        idf(facts.frequencies.get(term, 0), facts.chunk_count) for term in facts.terms
    )
    margin = scores[0] - scores[min(_MARGIN_RANK, len(scores)) - 1]
    return {
        "bm25_share": scores[0] / limit if limit > 0 else 0.0,
        "bm25_margin": margin / scores[0] if scores[0] > 0 else 0.0,
    }
