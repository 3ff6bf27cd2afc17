"""How well the rules of `retrieval.knowledge.differing` tell contradictions, on held-out pairs.

`python -m tests.eval.conflicts` prints precision and recall and which pairs are told wrong. The
pairs are those of `conflict_pairs.toml`, which the rules were not made by.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from retrieval.knowledge.differing import differences

from .workbench import table

_PAIRS = Path(__file__).with_name("conflict_pairs.toml")
_CONTRADICTS = "contradicts"


@dataclass(frozen=True, slots=True)
class Judged:
    """A pair as a person and as the rules have it; `reason` is the rules' own, "" for none."""

    label: str
    about: str
    reason: str

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


def report() -> dict[str, float]:
    """Prints the figures; returns them."""
    pairs = judged()
    found = figures(pairs)
    labels = (_CONTRADICTS, "agrees", "unrelated")
    rows = [
        [
            label,
            f"{sum(pair.label == label for pair in pairs)}",
            f"{sum(pair.told for pair in pairs if pair.label == label)}",
        ]
        for label in labels
    ]
    print(table(["held-out pairs", "number", "told as contradicting"], rows))
    print(f"contradictions: precision {found.precision:.2f}, recall {found.recall:.2f}\n")
    return {"precision": found.precision, "recall": found.recall}


def main() -> None:
    """Prints the figures and the pairs that are told wrong."""
    report()
    for pair in judged():
        if pair.told != (pair.label == _CONTRADICTS):
            print(f"{pair.label}: {pair.about} ({pair.reason or 'not told'})")


def _judged(pair: dict[str, str]) -> Judged:
    language = pair.get("language", "en")
    found = differences(pair["one"], pair["other"], language, language)
    return Judged(pair["is"], pair["about"], found[0].reason if found else "")


if __name__ == "__main__":
    main()
