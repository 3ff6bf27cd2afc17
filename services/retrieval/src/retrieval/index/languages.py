"""Languages whose words are stemmed, each with its stop words; told apart by these.

Documents of other languages are indexed word by word. English has stop words of its own (see
`retrieval.index.stopwords`). Stop words tell languages apart as well as a model does that would
cost each parsing worker a second and 90 MB, where a text has some sentences.
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Final

import snowballstemmer

from retrieval.index import stopwords

ENGLISH: Final = "en"
OTHER: Final = ""
"""A language without a stemmer."""

_SNOWBALL: Final = {
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nb": "norwegian",
    "nl": "dutch",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
}
# They change what is asked, so they are looked for.
_KEPT: Final = frozenset(
    (
        *("nicht", "kein", "keine", "keinen", "ohne", "ne", "pas", "non", "sans", "no", "sin"),
        *("não", "sem", "niet", "geen", "zonder", "senza", "inte", "utan", "ikke", "uden", "ej"),
        *("nie", "bez", "не", "нет", "без"),
    )
)

_WORD = re.compile(r"[^\W\d_]{2,}")
_READ_CHARS = 4_000
_KEPT_STEMS = 30_000
_LAST_LATIN = "\u024f"
# Of prose a third of the words are stop words; of headings and lists of names few.
_PLAINLY = 0.2
_FEWEST = 0.1


# The stemmers are Python, and texts repeat their words.
@lru_cache(maxsize=_KEPT_STEMS)
def stem(word: str, language: str) -> str | None:
    """The Snowball stem of a lower-case word; None for a stop word of the language."""
    if is_stop_word(word, language):
        return None
    if language == OTHER or not word.isalpha() or (language == ENGLISH and not word.isascii()):
        return word
    return _stemmer(language).stemWord(word)


def is_stop_word(word: str, language: str) -> bool:
    """Whether a lower-case word carries no topic in the language."""
    return word in _stop_words(language)


def detect(text: str) -> str:
    """The language of a document, by its beginning; English where nothing tells."""
    words = [word.lower() for word in _WORD.findall(text[:_READ_CHARS])]
    if _share(words, ENGLISH) >= _PLAINLY:
        return ENGLISH
    best = max(_SNOWBALL, key=lambda language: _share(words, language))
    if words and _share(words, best) >= max(_FEWEST, 2 / len(words)):
        return best
    foreign = sum(word[0] > _LAST_LATIN for word in words)
    return OTHER if foreign > len(words) / 2 else ENGLISH


def likeliest(text: str, languages: Sequence[str]) -> str:
    """Of these languages the one with most stop words in a short text; of equals the first."""
    words = [word.lower() for word in _WORD.findall(text)]
    return max(languages, key=lambda language: _share(words, language), default=ENGLISH)


def _share(words: Sequence[str], language: str) -> float:
    stop = _stop_words(language)
    return sum(word in stop for word in words) / max(len(words), 1)


@cache
def _stop_words(language: str) -> frozenset[str]:
    if language == ENGLISH:
        return stopwords.ENGLISH
    if language not in _SNOWBALL:
        return frozenset()
    from stop_words import get_stop_words

    return frozenset(get_stop_words(_SNOWBALL[language])) - _KEPT


@cache
def _stemmer(language: str) -> Any:
    return snowballstemmer.stemmer(_SNOWBALL[language])
