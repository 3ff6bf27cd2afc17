"""What the agent says when no model writes, from replies.toml."""

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from conversation.intents import DEFAULT_LANGUAGE


def reply(occasion: str, language: str, **values: str) -> str:
    """The sentence for an occasion, in English when the language has none.

    `values` fill its places; KeyError for an occasion that the file does not know.
    """
    sentences = _sentences()
    sentence = sentences.get(language, {}).get(occasion) or sentences[DEFAULT_LANGUAGE][occasion]
    for name, value in values.items():
        sentence = sentence.replace(f"{{{name}}}", value)
    return sentence


def ask_back(topics: Sequence[str], language: str, *, vague: bool) -> str:
    """Asks which of two topics is meant; of a vague question what it is about, naming near ones."""
    if vague:
        return reply_naming("vague", topics, language)
    return reply("clarify", language, first=topics[0], second=topics[1])


def reply_naming(occasion: str, places: Sequence[str], language: str) -> str:
    """The sentence for an occasion, followed by the nearest places in the knowledge, if any."""
    sentence = reply(occasion, language)
    if not places:
        return sentence
    listed = "\n".join(f"- {place}" for place in places)
    return f"{sentence} {reply('nearest', language)}\n{listed}"


@cache
def _sentences() -> dict[str, dict[str, str]]:
    return tomllib.loads((files("conversation") / "replies.toml").read_text("utf-8"))
