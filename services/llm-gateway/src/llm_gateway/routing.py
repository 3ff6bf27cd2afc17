"""Which model a text question begins with: the first of the ladder, or the second.

A question's difficulty is told from what is known before any model is called. The weights are
fitted (`python -m tests.eval.fit_routing`) on whether `local/extractive` answers questions of
labelled sets rightly: what the cheapest reader gets wrong stands in for what a cheap model gets
wrong. `quantiles` are those of the difficulty on these sets, so that a planned share of questions
becomes a threshold; a tenant's own questions may be easier or harder, which is why the actual
share is shown beside the plan.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from llm_gateway.extractive.terms import terms
from llm_gateway.question import Question

_LONG_WORDS = 40
_MOST_PARTS = 3
_FEW_TERMS = 3
_NUMBER = re.compile(r"\d")
_PART = re.compile(
    r"[?？;]|\b(?:and|und|et|y|e|en|also|außerdem|sowie|aussi|además|inoltre|além)\s+"
    r"(?:how|what|where|when|why|which|who|can|do|does|is|are|"
    r"wie|was|wo|wann|warum|welche\w*|kann|comment|quel\w*|où|quand|pourquoi|"
    r"cómo|qué|dónde|cuándo|come|cosa|dove|quando|hoe|wat|waar|wanneer)\b",
    re.IGNORECASE,
)
_COMPARISON = re.compile(
    r"\b(?:versus|vs|compar\w+|differen\w+|better|best|cheaper|faster|rather than|instead of|"
    r"vergleich\w*|unterschied\w*|besser\w*|statt|différen\w+|mieux|plutôt|diferen\w+|mejor|"
    r"differenz\w+|meglio|melhor|verschil\w*|beter)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RoutingWeights:
    """A logistic model of `signals`, and the difficulty that each share of questions stays under.

    `quantiles` has 101 figures: of 0 %, 1 % … 100 % of the questions fitted on.
    """

    bias: float
    coefficients: Mapping[str, float]
    quantiles: tuple[float, ...]


def load_weights() -> RoutingWeights:
    """The fitted weights that ship with the service."""
    data = json.loads(resources.files("llm_gateway").joinpath("routing.json").read_text("utf-8"))
    return RoutingWeights(data["bias"], data["coefficients"], tuple(data["quantiles"]))


def is_difficult(question: Question, share_millis: int, weights: RoutingWeights) -> bool:
    """Whether it is among the most difficult `share_millis` thousandths of questions."""
    if not 0 < share_millis < 1000:
        return share_millis > 0
    percent, rest = divmod(1000 - share_millis, 10)
    below, above = weights.quantiles[percent], weights.quantiles[min(percent + 1, 100)]
    return difficulty(question, weights) > below + (above - below) * rest / 10


def difficulty(question: Question, weights: RoutingWeights) -> float:
    """0–1: how likely the cheapest reader is to fail."""
    found = signals(question)
    logit = weights.bias + math.fsum(
        weight * found[name] for name, weight in weights.coefficients.items()
    )
    return 1 / (1 + math.exp(-logit))


def signals(question: Question) -> dict[str, float]:
    """What is known of a question before a model is called, each 0–1."""
    asked = set(terms(question.text))
    found = [
        set(terms(" ".join((passage.title, *passage.heading_path, passage.text))))
        for passage in question.passages
    ]
    count = max(len(asked), 1)
    best = max((len(asked & each) for each in found), default=0) / count
    together = len(asked & set().union(*found)) / count
    parts = len(_PART.findall(question.text.strip().rstrip("?？")))
    return {
        # Retrieval's own estimate that the passages answer.
        "doubt": 1 - question.relevance,
        "length": min(len(question.text.split()), _LONG_WORDS) / _LONG_WORDS,
        "parts": min(parts, _MOST_PARTS) / _MOST_PARTS,
        "comparison": float(_COMPARISON.search(question.text) is not None),
        "number": float(_NUMBER.search(question.text) is not None),
        # Words that the best passage lacks: another wording, or another language.
        "uncovered": 1 - best,
        # Words that only several passages have together.
        "spread": together - best,
        "follow_up": float(len(asked) < _FEW_TERMS and bool(question.history)),
    }
