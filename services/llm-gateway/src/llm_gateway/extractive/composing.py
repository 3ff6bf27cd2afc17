"""Composes an answer from ranked units: few, distinct, in the order of their source."""

from collections.abc import Sequence
from dataclasses import dataclass

from llm_gateway.extractive.context import leaned_on, refers_back
from llm_gateway.extractive.ranking import Ranked, heading_of
from llm_gateway.extractive.units import Unit, UnitKind
from llm_gateway.question import Passage

_MOST_UNITS = 5
# A list stands for several sentences.
_COST = {UnitKind.STEPS: 3, UnitKind.LIST: 2, UnitKind.CODE: 2}
# Further units must be nearly as good as the best one, and say something else: at this difference
# of scores the odds of one against the other are about 4 to 1 (e to the 1.5).
NEARLY = 1.5
_SAME = 0.88
_CHARACTERS_PER_TOKEN = 4
_MOST_FOLLOWERS = 3
_FOLLOWING_CHARACTERS = 600
_SECTION_CHARACTERS = 700


@dataclass(frozen=True, slots=True)
class Part:
    """A unit as it stands in the answer; `glue` goes before it."""

    unit: Unit
    passage: Passage
    support: float
    glue: str


def compose(
    ranked: Sequence[Ranked],
    units_of: dict[str, list[Unit]],
    least_support: float,
    max_tokens: int,
    wants_steps: bool,
) -> list[Part]:
    """The parts of the answer in order; empty when no unit is supported well enough.

    `units_of` has all units of each passage by chunk id, for what stands before one that leans on
    it.
    """
    chosen = _choose([one for one in ranked if one.support >= least_support], max_tokens)
    if not chosen:
        return []
    support = {(one.candidate.passage.chunk_id, one.candidate.unit): one.support for one in chosen}
    passages = list(dict.fromkeys(one.candidate.passage.chunk_id for one in chosen))
    by_id = {one.candidate.passage.chunk_id: one.candidate.passage for one in chosen}
    parts: list[Part] = []
    asked = {one.candidate.heading for one in chosen if one.under_the_question}
    for chunk_id in passages:
        wanted = {unit for chunk, unit in support if chunk == chunk_id}
        units = units_of[chunk_id]
        if chunk_id == passages[0]:
            best = chosen[0]
            if best.under_the_question:
                wanted |= _section(units, best.candidate.unit)
            elif wants_steps:
                wanted |= _followers(units, best.candidate.unit)
        previous: Unit | None = None
        for unit in _in_context(units, wanted):
            weight = support.get((chunk_id, unit), least_support)
            glue = _glue(previous, unit, bool(parts))
            if refers_back(unit) and not _follows(units, previous, unit):
                heading = heading_of(unit, by_id[chunk_id])
                glue = glue.replace(" ", "\n") + _lead_in("" if heading in asked else heading)
            parts.append(Part(unit, by_id[chunk_id], weight, glue))
            previous = unit
    return parts


def _choose(supported: Sequence[Ranked], max_tokens: int) -> list[Ranked]:
    """The best unit, then others that are nearly as good and add to it."""
    chosen: list[Ranked] = []
    cost = characters = 0
    for one in supported:
        unit = one.candidate.unit
        if chosen and (one.score < chosen[0].score - NEARLY or _repeats(one, chosen)):
            continue
        cost += _COST.get(unit.kind, 1)
        characters += len(unit.text)
        if chosen and (cost > _MOST_UNITS or characters > max_tokens * _CHARACTERS_PER_TOKEN):
            break
        chosen.append(one)
    return chosen


def _repeats(one: Ranked, chosen: Sequence[Ranked]) -> bool:
    words = set(one.candidate.words)
    for other in chosen:
        if one.vector @ other.vector > _SAME:
            return True
        others = set(other.candidate.words)
        if words and len(words & others) >= 0.8 * len(words):
            return True
    return False


def _section(units: Sequence[Unit], best: Unit) -> set[Unit]:
    """The section of the best unit from its beginning: what stands under a question answers it."""
    section: set[Unit] = set()
    characters = cost = 0
    for unit in units:
        if unit.heading != best.heading:
            continue
        characters += len(unit.text)
        cost += _COST.get(unit.kind, 1)
        if section and (characters > _SECTION_CHARACTERS or cost > _MOST_UNITS):
            break
        section.add(unit)
    return section


def _followers(units: Sequence[Unit], best: Unit) -> set[Unit]:
    """What comes after the best unit under its heading: instructions are rarely one sentence."""
    followers: set[Unit] = set()
    if best.kind is not UnitKind.SENTENCE:
        return followers
    characters = 0
    for unit in units[units.index(best) + 1 :]:
        characters += len(unit.text)
        if (
            unit.heading != best.heading
            or unit.kind in (UnitKind.ROW, UnitKind.ITEM)
            or len(followers) == _MOST_FOLLOWERS
            or characters > _FOLLOWING_CHARACTERS
        ):
            break
        followers.add(unit)
    return followers


def _in_context(units: Sequence[Unit], wanted: set[Unit]) -> list[Unit]:
    """The wanted units in source order, each with what it leans on before it."""
    kept: list[Unit] = []
    for index, unit in enumerate(units):
        if unit in wanted:
            kept += [each for each in (*leaned_on(units, index), unit) if each not in kept]
    return kept


def _glue(previous: Unit | None, unit: Unit, is_later: bool) -> str:
    if previous is None:
        return "\n\n" if is_later else ""
    prose = previous.kind is unit.kind is UnitKind.SENTENCE
    return " " if prose else "\n"


def _follows(units: Sequence[Unit], previous: Unit | None, unit: Unit) -> bool:
    """Whether the unit shown before is the one that stands before it under its heading."""
    if previous is None or previous.heading != unit.heading:
        return False
    return units.index(previous) + 1 == units.index(unit)


def _lead_in(heading: str) -> str:
    if not heading:
        return ""
    return f"{heading} " if heading[-1] in "?!.:" else f"{heading}: "
