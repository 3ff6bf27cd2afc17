"""What a query asks for to the letter: identifiers and quoted phrases, and word pairs as written.

BM25 finds passages that have the words somewhere; this looks whether they stand there as asked.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from retrieval.index.languages import ENGLISH, likeliest
from retrieval.index.terms import terms

_QUOTED = re.compile(r"[\"“„«]([^\"“”„«»]{3,200})[\"”“»]")
_TOKEN = re.compile(r"[^\s\"“”„«»,;!?()<>\[\]{}]+")
_ENDS = ".:'’`*-"
_WORD = re.compile(r"\w+")
_JOINED = re.compile(r"\w[_./:@#\\]\w|[a-z][A-Z]")
_MOST = 8
_SHORTEST, _LONGEST = 3, 64


@dataclass(frozen=True, slots=True)
class Exactly:
    """What passages are looked through for, in lower case."""

    strings: tuple[str, ...]
    pairs: tuple[str, ...]

    def found(self, text: str) -> float:
        """Share of the identifiers and quoted phrases that stand in `text` whole; 0 of none."""
        if not self.strings:
            return 0.0
        return sum(_stands_in(wanted, text) for wanted in self.strings) / len(self.strings)

    def adjacent(self, text: str) -> float:
        """Share of the query's neighbouring telling words that are neighbours in `text` too."""
        if not self.pairs:
            return 0.0
        return sum(pair in text for pair in self.pairs) / len(self.pairs)


def asked_exactly(query: str, languages: Sequence[str] = (ENGLISH,)) -> Exactly:
    """The first few identifiers, quoted phrases and pairs of a query."""
    language = likeliest(query, languages)
    phrases = [" ".join(found.split()) for found in _QUOTED.findall(query)]
    tokens = [token.strip(_ENDS) for token in _TOKEN.findall(query)]
    strings = dict.fromkeys(s.lower() for s in [*phrases, *filter(_is_identifier, tokens)])
    words = [word.lower() for word in _WORD.findall(query)]
    pairs = [f"{a} {b}" for a, b in pairwise(words) if terms(a, language) and terms(b, language)]
    return Exactly(tuple(strings)[:_MOST], tuple(dict.fromkeys(pairs))[: 4 * _MOST])


def _is_identifier(token: str) -> bool:
    """An error code, version, file name, path or name of a program: `E-1042`, `avrdude.conf`."""
    if not _SHORTEST <= len(token) <= _LONGEST:
        return False
    has_digit = any(c.isdigit() for c in token)
    has_letter = any(c.isalpha() for c in token)
    return has_letter and (has_digit or _JOINED.search(token) is not None)


def _stands_in(wanted: str, text: str) -> bool:
    """Whether it stands there, and not as a part of a longer word."""
    start = text.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        before, after = text[start - 1 : start], text[end : end + 1]
        if not (_is_word(before) or _is_word(after)):
            return True
        start = text.find(wanted, start + 1)
    return False


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def groups_of(strings: Sequence[str], languages: Sequence[str]) -> list[frozenset[str]]:
    """The index terms of each: a passage that has the string has them all, in its language."""
    groups = (
        frozenset(terms(wanted, language))
        for wanted in strings
        for language in languages or (ENGLISH,)
    )
    return [group for group in dict.fromkeys(groups) if group]
