"""How well the rules of `retrieval.knowledge.differing` tell contradictions, on held-out pairs.

`python -m tests.eval.conflicts` prints precision and recall. The pairs are those of
`conflict_pairs.toml`: the `earlier` ones were there before the rules were mended last, and what is
told wrong of them is named; the `later` ones were written after that, and say how well it carries
over. Whoever mends the rules next writes new ones first.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from retrieval.knowledge.differing import differences

from .workbench import table

_PAIRS = Path(__file__).with_name("conflict_pairs.toml")
_CONTRADICTS = "contradicts"
_LABELS = (_CONTRADICTS, "agrees", "unrelated")


@dataclass(frozen=True, slots=True)
class Judged:
    """A pair as a person and as the rules have it; `reason` is the rules' own, "" for none.

    `later`: written after the rules were mended.
    """

    label: str
    about: str
    reason: str
    later: bool

    @property
    def told(self) -> bool:
        """Whether the rules take it for a contradiction."""
        return self.reason not in ("", "SAME_TEXT")


@dataclass(frozen=True, slots=True)
class Figures:
    """Pairs told as contradicting, those of them that do, and how many there are that do."""

    told: int
    right: int
    contradicting: int

    @property
    def precision(self) -> float:
        """Share of those told that are contradictions."""
        return self.right / self.told if self.told else 1.0

    @property
    def recall(self) -> float:
        """Share of contradictions that are told."""
        return self.right / self.contradicting


def judged() -> list[Judged]:
    """All pairs with what the rules say."""
    pairs = tomllib.loads(_PAIRS.read_text())["pair"]
    return [_judged(pair) for pair in pairs]


def figures(pairs: list[Judged]) -> Figures:
    """Precision and recall of contradictions."""
    told = [pair for pair in pairs if pair.told]
    return Figures(
        told=len(told),
        right=sum(pair.label == _CONTRADICTS for pair in told),
        contradicting=sum(pair.label == _CONTRADICTS for pair in pairs),
    )


def report() -> dict[str, dict[str, float]]:
    """Prints the figures of both halves; returns them."""
    pairs = judged()
    rows: list[list[str]] = []
    measured: dict[str, dict[str, float]] = {}
    for name, later in (("earlier", False), ("later", True)):
        half = [pair for pair in pairs if pair.later == later]
        found = figures(half)
        measured[name] = {"precision": found.precision, "recall": found.recall}
        told = [
            f"{sum(pair.told for pair in half if pair.label == label)} of"
            f" {sum(pair.label == label for pair in half)}"
            for label in _LABELS
        ]
        rows.append([name, *told, f"{found.precision:.2f}", f"{found.recall:.2f}"])
    print("pairs told as contradicting, of those that a person says …")
    print(table(["", *_LABELS, "precision", "recall"], rows), end="\n\n")
    return measured


def main() -> None:
    """Prints the figures, and which of the earlier pairs are told wrong."""
    report()
    for pair in judged():
        if not pair.later and pair.told != (pair.label == _CONTRADICTS):
            print(f"{pair.label}: {pair.about} ({pair.reason or 'not told'})")


def _judged(pair: dict[str, str]) -> Judged:
    language = pair.get("language", "en")
    found = differences(pair["one"], pair["other"], language, language)
    return Judged(pair["is"], pair["about"], found[0].reason if found else "", "later" in pair)


if __name__ == "__main__":
    main()
