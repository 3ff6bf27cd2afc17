"""What can be told from a visitor's words alone, without a model: phrases.toml has the words.

Precision goes before recall: a request for a person that is not recognised is still a question
that the knowledge or a hand-over answers; a question taken for such a request is lost.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

DEFAULT_LANGUAGE = "en"
_MAX_SMALL_TALK_WORDS = 10
# A long text is a story or a pasted log: only its ends say what the visitor wants.
_LONG_CHARS = 800
_END_CHARS = 300
# Said together ("ok, thanks, bye"), the first of these is what is answered.
_KINDS = (
    "are_you_a_bot",
    "opener",
    "farewell",
    "thanks",
    "how_are_you",
    "greeting",
    "acknowledgement",
)


@dataclass(frozen=True, slots=True)
class SmallTalk:
    """A text that says nothing but a greeting, thanks and the like; `kind` is one of `_KINDS`."""

    kind: str
    language: str


@dataclass(frozen=True, slots=True)
class _Language:
    words: frozenset[str]
    asks: tuple[re.Pattern[str], ...]
    phrases: Mapping[tuple[str, ...], str]


def wants_person(text: str) -> bool:
    """Whether the visitor asks to be put through to a person, in any language known here."""
    folded = " ".join(_fold(part) for part in _ends(text))
    return any(ask.search(folded) for language in _languages().values() for ask in language.asks)


def small_talk(text: str, earlier: Sequence[str] = ()) -> SmallTalk | None:
    """What small talk the text is, if it is nothing else; `earlier` texts tell the language.

    "hi, how do I reset it?" is a question; "hi", "ok thanks!" and "👍 thank you" are small talk.
    """
    words = [word for word in _fold(text[:_LONG_CHARS]).split() if word != "|"]
    if not words or len(words) > _MAX_SMALL_TALK_WORDS or len(text) > _LONG_CHARS:
        return None
    found = {
        name: kind
        for name, language in _languages().items()
        if (kind := _kind_of(words, language.phrases)) is not None
    }
    if not found:
        return None
    likely = language_of(earlier)
    name = likely if likely in found else next(iter(found))
    return SmallTalk(found[name], name)


def contains_phrase(text: str, phrases: Iterable[str]) -> bool:
    """Whether one of a tenant's phrases stands in the text as whole words, ignoring case."""
    words = f" {' '.join(folded_words(text))} "
    return any(
        f" {' '.join(folded)} " in words for phrase in phrases if (folded := folded_words(phrase))
    )


def is_one_word(text: str) -> bool:
    """Whether it is a single word ("refunds?"), of a script that puts spaces between words.

    A code such as "E204" is none: it says exactly what it is about.
    """
    words = folded_words(text[:_LONG_CHARS])
    return len(words) == 1 and words[0].isalpha() and words[0].upper() != words[0]


def language_of(texts: Sequence[str]) -> str:
    """The language of the texts (newest first) by their frequent words; English when unclear."""
    for text in texts:
        words = folded_words(text[:_LONG_CHARS])
        hits = {
            name: sum(word in language.words for word in words)
            for name, language in _languages().items()
        }
        ranked = sorted(hits, key=lambda name: -hits[name])
        if hits[ranked[0]] >= 2 and hits[ranked[0]] > hits[ranked[1]]:
            return ranked[0]
        talk = [n for n, lang in _languages().items() if _kind_of(words, lang.phrases)]
        if talk and len(words) <= _MAX_SMALL_TALK_WORDS:
            return talk[0]
    return DEFAULT_LANGUAGE


def _kind_of(words: Sequence[str], phrases: Mapping[tuple[str, ...], str]) -> str | None:
    """The kind when the words are nothing but phrases and fillers; longest phrases first."""
    longest = max(len(phrase) for phrase in phrases)
    kinds: set[str] = set()
    at = 0
    while at < len(words):
        for length in range(min(longest, len(words) - at), 0, -1):
            kind = phrases.get(tuple(words[at : at + length]))
            if kind is not None:
                kinds.add(kind)
                at += length
                break
        else:
            return None
    return next((kind for kind in _KINDS if kind in kinds), None)


def _ends(text: str) -> tuple[str, ...]:
    return (text,) if len(text) <= _LONG_CHARS else (text[:_END_CHARS], text[-_END_CHARS:])


def folded_words(text: str) -> list[str]:
    """The words of a text, in lower case and without accents."""
    return [word for word in _fold(text).split() if word != "|"]


def _fold(text: str) -> str:
    """Lower case without accents; apostrophes become spaces, other signs clause bounds "|"."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    spaced = re.sub(r"['’‘`´\-_]", " ", bare)
    clauses = re.sub(r"[^\w\s]+|[\r\n]+", " | ", spaced)
    return re.sub(r"(?:\| )+", "| ", " ".join(f"| {clauses} |".split()) + " ").strip()


@cache
def _languages() -> dict[str, _Language]:
    data = tomllib.loads((files("conversation") / "phrases.toml").read_text("utf-8"))
    return {name: _language(entry) for name, entry in data.items()}


def _language(entry: dict) -> _Language:
    phrases = {
        tuple(phrase.split()): kind
        for kind, listed in entry["small_talk"].items()
        for phrase in listed
    }
    return _Language(
        words=frozenset(entry["words"]),
        asks=tuple(re.compile(ask.replace("<person>", entry["person"])) for ask in entry["asks"]),
        phrases=phrases,
    )
