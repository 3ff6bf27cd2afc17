"""The words of a text that carry meaning, in a form in which inflections are alike."""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

import snowballstemmer

# Words, numbers with their units and versions, and single characters of scripts without spaces.
_TERM = re.compile(r"[぀-ヿ㐀-鿿]|[^\W_]+(?:[.'’/-][^\W_]+)*")
_POSSESSIVE = re.compile(r"['’]s?$")
_STOP_WORDS_TEXT = """
a about after all also am an and any are as at be been before being between both but by can cannot
could did do does doing don't down during each few for from further get had has have having he her
here hers him his how i if in into is it it's its itself just know like me more most my myself no
nor not now of off on once only or other our ours out over own please same she should so some such
than that the their theirs them then there these they this those through to too under until up us
very want was we were what when where which while who whom why will with would you your yours
yourself
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())


def terms(text: str) -> list[str]:
    """The stems of the words of `text` in order, stop words left out."""
    words = (_POSSESSIVE.sub("", word).replace("-", "") for word in _TERM.findall(text.lower()))
    return [_stem(word) for word in words if word and word not in _STOP_WORDS]


def bigrams(of: Iterable[str]) -> set[tuple[str, str]]:
    """Neighbouring terms."""
    return set(pairwise(of))


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    return snowballstemmer.stemmer("english").stemWord(word)
