"""Text to index terms: the same function for passages and queries, so that they can meet.

A plain word becomes its stem. A compound (an identifier, error code, file name, version or
hyphenated word) is kept whole and also gives its parts, so that `avrdude.conf`, `E-1042` and
`parseInt` are found exactly and by part. Scripts without spaces give character bigrams.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

import snowballstemmer

from retrieval.index import stopwords

MAX_TERM_CHARS = 64

_WORD = re.compile(r"\w+(?:[.\-_/:@+#'’&]+\w+)*[+#]{0,2}")
_JOIN = re.compile(r"[.\-_/:@+#'’&]+")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
_APOSTROPHES = "'’"


def terms(text: str) -> list[str]:
    """The index terms of `text`, in order, with repeats, without stop words and huge words."""
    found: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text)):
        found.extend(_terms_of_word(match.group()))
    return found


def weighted_terms(body: str, context: str, context_weight: float) -> dict[str, float]:
    """Term frequencies of a passage; each occurrence in `context` counts `context_weight`."""
    weights: Counter[str] = Counter(terms(body))
    result: dict[str, float] = {term: float(count) for term, count in weights.items()}
    for term, count in Counter(terms(context)).items():
        result[term] = result.get(term, 0.0) + context_weight * count
    return result


def _terms_of_word(word: str) -> Iterator[str]:
    if _UNSPACED.search(word):
        yield from _bigrams(word)
        return
    pieces = [piece for piece in _JOIN.split(word) if piece]
    if not pieces:
        return
    if len(pieces) == 2 and word[len(pieces[0])] in _APOSTROPHES:
        # "don't", "board's": the tail is grammar, not an identifier.
        yield from _plain(pieces[0])
        return
    if len(pieces) > 1 or word != pieces[0]:
        whole = word.lower()
        if len(whole) <= MAX_TERM_CHARS:
            yield whole
    for piece in pieces:
        yield from _plain(piece)


def _plain(piece: str) -> Iterator[str]:
    """A word without joints: its stem, and the parts of camelCase."""
    lower = piece.lower()
    if len(lower) > MAX_TERM_CHARS:
        return
    if (stem := _stem(lower)) is not None:
        yield stem
    if piece.isascii() and lower != piece and not piece.isupper() and not piece.istitle():
        parts = _CAMEL.findall(piece)
        if len(parts) > 1:
            yield from (part for raw in parts if (part := _stem(raw.lower())) and len(raw) > 1)


def _bigrams(word: str) -> Iterator[str]:
    for run in _UNSPACED.findall(word):
        if len(run) == 1:
            yield run
        yield from (run[i : i + 2] for i in range(len(run) - 1))
    for rest in _UNSPACED.split(word):
        for piece in _JOIN.split(rest):
            yield from _plain(piece)


@lru_cache(maxsize=65_536)
def _stem(word: str) -> str | None:
    """The Snowball English stem; None for a stop word."""
    if not word or word in stopwords.ENGLISH:
        return None
    if not word.isalpha() or not word.isascii():
        return word
    return _english().stemWord(word)


@cache
def _english() -> Any:
    return snowballstemmer.stemmer("english")
