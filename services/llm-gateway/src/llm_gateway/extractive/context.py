"""What a unit needs before it, so that a reader knows what it speaks of.

A sentence that begins with "it" or "then" takes along the one before, an item of a list or a row of
a table the line that announces it. Where nothing stands before it, the heading says what is meant.
"""

import re
from collections.abc import Sequence

from llm_gateway.extractive.units import Unit, UnitKind

_MOST_BEFORE = 2
# Openings that stand for something said before, in English and German; "it is possible to …" and
# "es gibt" do not, nor does the polite "Sie".
_REFERRING = re.compile(
    r"(?:it(?! (?:is|was)(?: \w+){1,2} (?:to|that)\b)|this|that|these|those|they|them|he|she|his"
    r"|her|their|its|er(?! (?:is|zijn|was|wordt|worden|kan|kunnen)\b)|es(?! gibt\b)"
    r"|dies(?:e[rsmn]?)?"
    r"|das (?:ist|sind|war|wird|kann|geht|gilt|bedeutet|heißt|hat|dauert|funktioniert)"
    r"|seine?[rsmn]?|dadurch|damit|dafür|davon|dazu|dabei|darauf|darin|hierbei|hiermit|hierzu"
    r"|hierfür)\b",
    re.IGNORECASE,
)
# Openings that go on from the sentence before; no heading explains them.
_GOING_ON = re.compile(
    r"(?:then|otherwise|however|also|instead|therefore|in this case|if so|if not|as a result"
    r"|for example|after that|doing so|dann|danach|anschließend|sonst|ansonsten|andernfalls"
    r"|außerdem|stattdessen|jedoch|deshalb|daher|in diesem fall|falls nicht|wenn nicht"
    r"|zum beispiel)\b",
    re.IGNORECASE,
)
_LISTED = (UnitKind.ITEM, UnitKind.ROW)


def refers_back(unit: Unit) -> bool:
    """Whether it begins with a word that stands for something said before."""
    return unit.kind is UnitKind.SENTENCE and bool(_REFERRING.match(unit.text))


def leaned_on(units: Sequence[Unit], index: int) -> list[Unit]:
    """The units before the one at `index` that it cannot do without, in order."""
    if units[index].kind in _LISTED:
        lead = _lead(units, index)
        return [lead] if lead else []
    at = index
    while index - at < _MOST_BEFORE and at and _leans(units[at - 1], units[at]):
        at -= 1
    return list(units[at:index])


def _leans(before: Unit, unit: Unit) -> bool:
    near = before.kind is UnitKind.SENTENCE and 0 <= unit.block - before.block <= 1
    return (
        (near or before.block == unit.block)
        and before.heading == unit.heading
        and bool(_REFERRING.match(unit.text) or _GOING_ON.match(unit.text))
    )


def _lead(units: Sequence[Unit], index: int) -> Unit | None:
    """The line with a colon that announces the list or table of the unit at `index`."""
    at = index
    while at and units[at].kind is units[index].kind and units[at].heading == units[index].heading:
        at -= 1
    before = units[at]
    announces = before.kind is UnitKind.SENTENCE and before.text.endswith(":")
    return before if announces and before.heading == units[index].heading else None
