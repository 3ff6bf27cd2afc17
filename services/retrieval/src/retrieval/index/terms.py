"""Text to index terms: the same function for passages and queries, so that they can meet.

A plain word becomes its stem in the document's language; a word of a query becomes one for each
language that the tenant has. A compound (an identifier, error code, file name, version or
hyphenated word) is kept whole and also gives its parts, so that `avrdude.conf`, `E-1042` and
`parseInt` are found exactly and by part. Scripts without spaces give character bigrams.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from retrieval.index import languages as spoken
from retrieval.index.languages import ENGLISH

MAX_TERM_CHARS = 64

_WORD = re.compile(r"\w+(?:[.\-_/:@+#'’&]+\w+)*[+#]{0,2}")
_JOIN = re.compile(r"[.\-_/:@+#'’&]+")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
_APOSTROPHES = "'’"


def terms(text: str, language: str = ENGLISH) -> list[str]:
    """The index terms of `text`, in order, with repeats, without stop words and huge words."""
    found: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text)):
        found.extend(_terms_of_word(match.group(), language))
    return found


def variants(text: str, languages: Sequence[str]) -> list[tuple[str, ...]]:
    """For each index term of a query its forms in these languages, the likeliest one's first.

    What is a stop word in the language that the query seems to be in is left out.
    """
    if len(languages) < 2:
        return [(term,) for term in terms(text, *languages)]
    likeliest = spoken.likeliest(text, languages)
    others = [language for language in languages if language != likeliest]
    found: list[tuple[str, ...]] = []
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text)):
        first = list(_terms_of_word(match.group(), likeliest))
        also = [list(_terms_of_word(match.group(), language)) for language in others]
        for place, term in enumerate(first):
            # Where another language drops a part as a stop word the parts have no common places.
            forms = (parts[place] for parts in also if len(parts) == len(first))
            found.append(tuple(dict.fromkeys((term, *forms))))
    return found


def terms_in(text: str, languages: Sequence[str]) -> set[str]:
    """The index terms of `text` in any of these languages."""
    return {term for language in languages or (ENGLISH,) for term in terms(text, language)}


def weighted_terms(
    body: str, context: str, context_weight: float, language: str = ENGLISH
) -> dict[str, float]:
    """Term frequencies of a passage; each occurrence in `context` counts `context_weight`."""
    weights: Counter[str] = Counter(terms(body, language))
    result: dict[str, float] = {term: float(count) for term, count in weights.items()}
    for term, count in Counter(terms(context, language)).items():
        result[term] = result.get(term, 0.0) + context_weight * count
    return result


def _terms_of_word(word: str, language: str) -> Iterator[str]:
    if _UNSPACED.search(word):
        yield from _bigrams(word, language)
        return
    pieces = [piece for piece in _JOIN.split(word) if piece]
    if not pieces:
        return
    if len(pieces) == 2 and word[len(pieces[0])] in _APOSTROPHES:
        # "don't", "board's", "l'eau": a piece is grammar, no identifier.
        yield from _plain(pieces[0] if language == ENGLISH else max(pieces, key=len), language)
        return
    if len(pieces) > 1 or word != pieces[0]:
        whole = word.lower()
        if len(whole) <= MAX_TERM_CHARS:
            yield whole
    for piece in pieces:
        yield from _plain(piece, language)


def _plain(piece: str, language: str) -> Iterator[str]:
    """A word without joints: its stem, and the parts of camelCase."""
    lower = piece.lower()
    if len(lower) > MAX_TERM_CHARS:
        return
    if (stem := _stem(lower, language)) is not None:
        yield stem
    if piece.isascii() and lower != piece and not piece.isupper() and not piece.istitle():
        parts = _CAMEL.findall(piece)
        if len(parts) > 1:
            stems = (_stem(raw.lower(), language) for raw in parts if len(raw) > 1)
            yield from (stem for stem in stems if stem)


def _bigrams(word: str, language: str) -> Iterator[str]:
    for run in _UNSPACED.findall(word):
        if len(run) == 1:
            yield run
        yield from (run[i : i + 2] for i in range(len(run) - 1))
    for rest in _UNSPACED.split(word):
        for piece in _JOIN.split(rest):
            yield from _plain(piece, language)


@lru_cache(maxsize=65_536)
def _stem(word: str, language: str) -> str | None:
    """The stem; None for a stop word and for nothing."""
    return spoken.stem(word, language) if word else None
