"""Fits when a tile has changed and which changes are waited for, on scripts and recordings.

Scripts have many changes whose truth is exact, recordings have what nobody would think of; both
count alike. What a rule is worth is told by leaving out one recording (or script) after the other.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vision_agent.frames.deciding import Eyes, Rules
from vision_agent.frames.tiles import TileRule

from .screen_scripts import Step, Tally, as_script, play
from .screens import Recording
from .workbench import table

# A change that is missed may cost an answer, a frame sent again a reading of a few tiles.
_WEIGHT, _NEAR = 20, 0.01
_LEVELS, _PIXELS = (24, 32, 40, 48), (4, 6, 10)
_ASPECTS, _LITTLE = (1.2, 1.5, 1.8, 2.5), (0, 6, 12, 40)
_NEVER_S = 1e9


@dataclass(frozen=True, slots=True)
class Choice:
    """What is fitted; `Rules` says what it means."""

    tile: TileRule
    little_tiles: int


@dataclass(slots=True, eq=False)
class Played:
    """A script or a recording, and what each choice made of it; a family is left out together."""

    kind: str
    family: str
    steps: list[Step]
    _tallies: dict[Choice, Tally] = field(default_factory=dict)

    def tally(self, choice: Choice, rules: Rules) -> Tally:
        """What is missed and sent of it."""
        if choice not in self._tallies:
            self._tallies[choice] = _tally(self.steps, _with(rules, choice))
        return self._tallies[choice]


def all_played(scripts: Iterable[list[Step]], recordings: Iterable[Recording]) -> list[Played]:
    """Each script by itself; recordings of one program's sample belong together."""
    played = [Played("scripts", f"script {n}", steps) for n, steps in enumerate(scripts)]
    for recording in recordings:
        family = re.sub(r"^[a-z]+_(\d+_)?", "", recording.name)
        played.append(Played("recordings", family, as_script(recording)))
    return played


def fit_tiles(played: Sequence[Played], rules: Rules) -> tuple[Choice, dict[str, Tally]]:
    """The best choice, and by kind what the one made without each family makes of it."""
    held_out: dict[str, Tally] = {}
    chosen: dict[Choice, int] = {}
    for family in {each.family for each in played}:
        choice = _best([each for each in played if each.family != family], rules)
        chosen[choice] = chosen.get(choice, 0) + 1
        for each in played:
            if each.family == family:
                known = held_out.get(each.kind, Tally.new())
                held_out[each.kind] = Tally.sum([known, each.tally(choice, rules)])
    best = _best(played, rules)
    _print(played, rules, _rules_of_tiles(rules))
    _print(played, rules, _rules_of_waiting(best.tile))
    for choice, times in chosen.items():
        print(f"chosen {times} times: {choice}")
    return best, held_out


def _best(played: Sequence[Played], rules: Rules) -> Choice:
    """Of what is within a point of the best, what sees the smallest change, and waits for least.

    What is missed once in some hundred changes these scripts do not tell.
    """
    tiles = _near(played, rules, _rules_of_tiles(rules))
    finest = min(tiles, key=lambda choice: choice.tile.min_levels * choice.tile.min_pixels)
    waiting = _near(played, rules, _rules_of_waiting(finest.tile))
    return min(waiting, key=lambda choice: (choice.little_tiles, choice.tile.word_aspect))


def _rules_of_tiles(rules: Rules) -> list[Choice]:
    return [
        Choice(replace(rules.tile, min_levels=levels, min_pixels=pixels), rules.little_tiles)
        for levels, pixels in itertools.product(_LEVELS, _PIXELS)
    ]


def _rules_of_waiting(tile: TileRule) -> list[Choice]:
    return [
        Choice(replace(tile, word_aspect=aspect), little)
        for little, aspect in itertools.product(_LITTLE, _ASPECTS)
    ]


def _near(played: Sequence[Played], rules: Rules, choices: Sequence[Choice]) -> list[Choice]:
    costs = {choice: _cost(played, rules, choice) for choice in choices}
    return [choice for choice, cost in costs.items() if cost <= min(costs.values()) + _NEAR]


def _cost(played: Sequence[Played], rules: Rules, choice: Choice) -> float:
    wholes = _by_kind(played, rules, choice).values()
    return sum(_WEIGHT * whole.missed + whole.sent for whole in wholes)


def _by_kind(played: Sequence[Played], rules: Rules, choice: Choice) -> dict[str, Tally]:
    return {
        kind: Tally.sum(each.tally(choice, rules) for each in played if each.kind == kind)
        for kind in ("scripts", "recordings")
    }


def _print(played: Sequence[Played], rules: Rules, choices: Sequence[Choice]) -> None:
    rows: list[list[str]] = []
    for choice in choices:
        tile = choice.tile
        row = [tile.min_levels, tile.min_pixels, tile.word_aspect, choice.little_tiles]
        rates = _by_kind(played, rules, choice).values()
        cells = [f"{rate:.2%}" for whole in rates for rate in (whole.missed, whole.sent)]
        rows.append([*(f"{value}" for value in row), *cells])
    head = ["levels", "pixels", "aspect", "little", "missed", "sent", "recorded: missed", "sent"]
    print(table(head, rows), end="\n\n")


def _with(rules: Rules, choice: Choice) -> Rules:
    return replace(rules, tile=choice.tile, little_tiles=choice.little_tiles, heartbeat_s=_NEVER_S)


def _tally(steps: list[Step], rules: Rules) -> Tally:
    tally, eyes = Tally.new(), Eyes()

    def keep(gray: Any, at_s: float) -> tuple[bool, Any]:
        decision = eyes.look(gray, at_s, rules)
        return decision.kept, decision.boxes

    play(steps, keep, tally)
    return tally
