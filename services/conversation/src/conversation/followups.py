"""A question that leans on the one before becomes one that stands alone; followups.toml has words.

"How do I reset the Uno?", then "and on the Mini?" or "how long does it take?": neither finds
anything by itself, so it is looked up together with what it leans on. Precision goes before
recall: a question that stands alone and is joined with another finds worse than before.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from conversation.intents import DEFAULT_LANGUAGE, folded_words, language_of, small_talk

_MAX_WORDS = 14
_MAX_FRAGMENT_WORDS = 6
_MOST_CONTENT_WORDS = 2
_MAX_BYTES = 4_000

Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Language:
    openers: tuple[Phrase, ...]
    places: frozenset[str]
    pronouns: frozenset[str]
    determiners: frozenset[str]
    last_verbs: tuple[str, ...]
    infinitives: frozenset[str]
    alone: frozenset[Phrase]
    clause: frozenset[str]
    empty: frozenset[str]


def standalone(text: str, earlier: Sequence[str]) -> str:
    """The text, or what it leans on and the text, a line each; `earlier` is newest first.

    A fragment ("and on the Mini?") replaces the fragments before it; what only points back
    ("how long does it take?") leans on the newest fragment, too.
    """
    said = [each for each in earlier if small_talk(each) is None]
    if not said or not leans(text, said):
        return text
    parts = [text]
    fragment = is_fragment(text, said)
    for index, each in enumerate(said):
        before = said[index + 1 :]
        if not before or not leans(each, before):
            parts.append(each)
            break
        if not fragment and is_fragment(each, before):
            parts.append(each)
            fragment = True
    joined = "\n".join(reversed(parts))
    return joined if len(parts) > 1 and len(joined.encode()) <= _MAX_BYTES else text


def leans(text: str, earlier: Sequence[str] = ()) -> bool:
    """Whether a question cannot be understood without what was said before."""
    return is_fragment(text, earlier) or _points_back(text, _language(text, earlier))


def points_nowhere(text: str, earlier: Sequence[str] = ()) -> bool:
    """Whether it points back ("can I change it?", "why?") and nothing says to what.

    `earlier` is newest first. With two words that name something, it is a question of its own.
    """
    if not _is_vague(text, earlier, most_content=1):
        return False
    said = [each for each in earlier if small_talk(each) is None]
    return all(leans(each, said[index + 1 :]) for index, each in enumerate(said))


def names_nothing(text: str, earlier: Sequence[str] = ()) -> bool:
    """Whether it points back and has no word to look for ("it does not work")."""
    return _is_vague(text, earlier, most_content=0)


def is_fragment(text: str, earlier: Sequence[str] = ()) -> bool:
    """Whether it is no sentence of its own, but a part that changes the one before."""
    language = _language(text, earlier)
    words = folded_words(text)
    rest, opened = _opened(words, language)
    if not rest or len(rest) > _MAX_FRAGMENT_WORDS or language.clause.intersection(rest):
        return False
    return opened or rest[0] in language.places


def _is_vague(text: str, earlier: Sequence[str], most_content: int) -> bool:
    # Words this few seldom tell their language: "es geht nicht".
    name = language_of([text, *earlier])
    languages = _languages().values() if name == DEFAULT_LANGUAGE else [_language(text, earlier)]
    return any(_points_back(text, language, most_content) for language in languages)


def _points_back(text: str, language: _Language, most_content: int = _MOST_CONTENT_WORDS) -> bool:
    words = folded_words(text)
    rest, _ = _opened(words, language)
    if tuple(words) in language.alone or tuple(rest) in language.alone:
        return True
    if not rest or len(words) > _MAX_WORDS:
        return False
    silent = language.clause | language.empty | language.pronouns
    content = [word not in silent for word in words]
    if sum(content) > most_content:
        return False
    for place, word in enumerate(words):
        after = words[place + 1 :]
        if word not in language.pronouns or language.infinitives.intersection(after):
            continue
        # "this board" names what it means; two things named before it may be what it stands for.
        named = word in language.determiners and bool(after) and content[place + 1]
        named = named and not (len(after) == 1 and after[0].endswith(language.last_verbs))
        if named or sum(content[:place]) >= _MOST_CONTENT_WORDS:
            continue
        return not _named_before(text, place, silent)
    return False


def _named_before(text: str, place: int, silent: frozenset[str]) -> bool:
    """Whether a clause that ends before the word at `place` names something."""
    passed = 0
    for clause in [folded_words(part) for part in _clauses(text)][:-1]:
        passed += len(clause)
        if passed <= place and any(word not in silent for word in clause):
            return True
    return False


def _clauses(text: str) -> list[str]:
    for mark in ".;!?\n":
        text = text.replace(mark, ",")
    return [part for part in text.split(",") if part.strip()]


def _opened(words: list[str], language: _Language) -> tuple[list[str], bool]:
    """The words after an opener, and whether there was one; the longest that fits."""
    fitting = [o for o in language.openers if tuple(words[: len(o)]) == o]
    longest = max(fitting, key=len, default=())
    return words[len(longest) :], bool(longest)


def _language(text: str, earlier: Sequence[str]) -> _Language:
    known = _languages()
    name = language_of([text, *earlier])
    return known.get(name, known["en"])


@cache
def _languages() -> Mapping[str, _Language]:
    data = tomllib.loads((files("conversation") / "followups.toml").read_text("utf-8"))
    return {name: _of(given) for name, given in data.items()}


def _of(given: Mapping[str, Sequence[str]]) -> _Language:
    return _Language(
        openers=tuple(tuple(phrase.split()) for phrase in given["openers"]),
        places=frozenset(given["places"]),
        pronouns=frozenset(given["pronouns"]),
        determiners=frozenset(given["determiners"]),
        last_verbs=tuple(given["last_verbs"]),
        infinitives=frozenset(given["infinitives"]),
        alone=frozenset(tuple(phrase.split()) for phrase in given["alone"]),
        clause=frozenset(given["clause"]),
        empty=frozenset(given["empty"]),
    )
