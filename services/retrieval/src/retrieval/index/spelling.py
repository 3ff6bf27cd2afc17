"""Words of a query that no passage has, taken for misspellings of words that some have."""

import re
from collections.abc import Collection, Sequence
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from rapidfuzz.distance import DamerauLevenshtein

from retrieval.index.languages import ENGLISH
from retrieval.index.terms import terms, terms_in
from retrieval.store import blocks as store

_WORD = re.compile(r"[^\W\d_]+")
# Shorter words have too many neighbours.
_SHORTEST = 4
_LONGER = 6
_MOST_WORDS = 4


async def guesses(
    conn: FleetConnection,
    tenant_id: UUID,
    query: str,
    known: Collection[str],
    languages: Sequence[str] = (ENGLISH,),
) -> list[str]:
    """Terms of the tenant that unknown words probably mean, one a word: the nearest by edits.

    A first letter is taken to be right: the vocabulary is read by it.
    """
    found: list[str] = []
    for word in unknown_words(query, known, languages)[:_MOST_WORDS]:
        vocabulary = await store.vocabulary(
            conn, tenant_id, word[0], len(word) - _edits(word) - 3, len(word) + _edits(word)
        )
        guess = nearest(word, vocabulary, languages)
        if guess is not None and guess not in found:
            found.append(guess)
    return found


def unknown_words(
    query: str, known: Collection[str], languages: Sequence[str] = (ENGLISH,)
) -> list[str]:
    """The words, in lower case, that have index terms of which none is known."""
    words = dict.fromkeys(word.lower() for word in _WORD.findall(query))
    return [
        word
        for word in words
        if len(word) >= _SHORTEST
        and (has := terms_in(word, languages))
        and not any(term in known for term in has)
    ]


def nearest(
    word: str, vocabulary: Sequence[str], languages: Sequence[str] = (ENGLISH,)
) -> str | None:
    """The term with fewest edits from the word or its stem; None when all are too far."""
    best, fewest = None, _edits(word) + 1
    stems = [term for language in languages for term in terms(word, language)[:1]]
    for form in dict.fromkeys((*stems, word)):
        for term in vocabulary:
            edits = DamerauLevenshtein.distance(form, term, score_cutoff=fewest - 1)
            if edits < fewest:
                best, fewest = term, edits
            if not fewest:
                return best
    return best


def _edits(word: str) -> int:
    return 1 if len(word) < _LONGER else 2
