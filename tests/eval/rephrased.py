"""How well a question asked again in other words is told from another question on the subject.

`python -m tests.eval.rephrased`: from each labelled set, conversations of four questions are drawn
at random. In half of them the last question has the intent of one of the three before (asked
again), in the others an intent of its own; the intents are those of one business, so they are
close to each other. What is judged is what conversation judges: the greatest similarity to one of
the questions before, against `conversation.rephrasing.THRESHOLD`.
"""

import random
import sys
from collections import defaultdict

import numpy as np
from conversation.rephrasing import THRESHOLD

from .sets import labelled
from .vectors import VectorCache
from .workbench import parser, table

_SETS = (("intents_banking77", "test"), ("intents_clinc150", "test"))
_EARLIER = 3
_CONVERSATIONS = 400
# Of ten questions after another, about two are the same one again.
_SHARE_AGAIN = 0.2
_MOST_FALSE = 0.02


def main() -> None:
    """Prints a row for each set and threshold."""
    options = parser("Measures how asked-again questions are noticed.").parse_args()
    cache = VectorCache(options.cache)
    scores = {
        name: _scores(labelled(options.data / f"{name}.tar.gz", part), cache)
        for name, part in _SETS
        if (options.data / f"{name}.tar.gz").exists()
    }
    if not scores:
        sys.exit(f"no labelled questions in {options.data}")
    rows: list[list[str]] = []
    for name, (again, new) in scores.items():
        others = [pair for other, pair in scores.items() if other != name] or [(again, new)]
        fitted = _fitted(np.concatenate([pair[1] for pair in others]))
        for label, threshold in (("of the other set", fitted), ("in use", THRESHOLD)):
            recall, false = float((again >= threshold).mean()), float((new >= threshold).mean())
            precision = _precision(recall, false)
            figures = [f"{threshold:.2f}", f"{precision:.2f}", f"{recall:.2f}", f"{false:.3f}"]
            rows.append([name, label, *figures])
    print(table(["set", "threshold", "", "precision", "recall", "false alarms"], rows))
    print(f"\nprecision if {_SHARE_AGAIN:.0%} of the questions are asked again")


def _scores(asked: list[tuple[str, str]], cache: VectorCache) -> tuple[np.ndarray, np.ndarray]:
    """The greatest similarity to an earlier question, where it is asked again and where not."""
    by_intent: dict[str, list[str]] = defaultdict(list)
    for text, intent in asked:
        by_intent[intent].append(text)
    intents = sorted(intent for intent, texts in by_intent.items() if len(texts) > 1)
    chance = random.Random(7)
    talks: list[tuple[bool, list[str]]] = []
    for number in range(_CONVERSATIONS):
        *before, last = chance.sample(intents, _EARLIER + 1)
        texts = [chance.choice(by_intent[intent]) for intent in before]
        again = number % 2 == 0
        if again:
            at = chance.randrange(_EARLIER)
            texts[at], text = chance.sample(by_intent[before[at]], 2)
        else:
            text = chance.choice(by_intent[last])
        talks.append((again, [text, *texts]))
    found: dict[bool, list[float]] = {True: [], False: []}
    for again, texts in talks:
        vectors = cache.embed(texts)
        found[again].append(float(np.max(vectors[1:] @ vectors[0])))
    return np.array(found[True]), np.array(found[False])


def _fitted(new: np.ndarray) -> float:
    """The lowest threshold, in hundredths, that takes few new questions for old ones."""
    for hundredths in range(30, 100):
        if float((new >= hundredths / 100).mean()) <= _MOST_FALSE:
            return hundredths / 100
    return 1.0


def _precision(recall: float, false: float) -> float:
    right, wrong = recall * _SHARE_AGAIN, false * (1 - _SHARE_AGAIN)
    return right / (right + wrong) if right + wrong else 0.0


if __name__ == "__main__":
    main()
