"""How likely the passages found answer the query.

A logistic regression on a few signals, fitted on questions with and without an answer, see
`retrieval.index.weights`. It judges by words and vectors, not by reading: a question about the
right topic that the passages leave open looks much like one that they answer.
"""

import math
import re
from collections.abc import Mapping, Sequence

from retrieval.index.bm25 import K1, idf
from retrieval.index.ranking import QueryFacts, Ranked, rarity
from retrieval.index.terms import terms_in
from retrieval.index.weights import LogisticModel, RelevanceWeights

_TOP = 5
_READ = 3
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_MARGIN_RANK = 10


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
    found = signals(ranked, facts, texts)
    model = weights.with_vector if "best_cosine" in found else weights.without_vector
    return from_signals(found, model)


def from_signals(found: Mapping[str, float], model: LogisticModel) -> float:
    """The probability that a model gives to signals."""
    logit = model.bias + math.fsum(
        weight * found[name] for name, weight in model.coefficients.items()
    )
    return 1.0 / (1.0 + math.exp(-logit))


def signals(
    ranked: Sequence[Ranked], facts: QueryFacts, texts: Mapping[int, str]
) -> dict[str, float]:
    """The signals by name; those of vectors are absent when the query had none.

    `coverage` is the share of the query's terms, weighted by rarity, that a passage has, or one
    sentence of it.
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
    found = {
        "top_coverage": coverages[0],
        "best_coverage": max(coverages),
        "known_terms": known / total,
        "log_terms": math.log1p(len(facts.terms)),
        "adjacent": max(item.candidate.adjacent for item in ranked[:_TOP]),
        "sentence_coverage": max(
            _sentence_coverage(texts.get(item.candidate.chunk_no, ""), rarities, facts.languages)
            / total
            for item in ranked[:_READ]
        ),
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


def _sentence_coverage(text: str, rarities: Mapping[str, float], languages: Sequence[str]) -> float:
    """The rarities of the query's terms that the best sentence has."""
    return max(
        math.fsum(rarities.get(term, 0.0) for term in terms_in(sentence, languages))
        for sentence in _SENTENCE_END.split(text)
    )


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
