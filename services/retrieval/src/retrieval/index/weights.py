"""The fitted weights of fusion and relevance, with where they come from.

`weights.json` is written by `tests/eval/fit_ranking.py`; its `provenance` names the data, the
date and what was measured. A new fit is a new `version`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """Weight of each ranking as a linear function of the query's best cosine: (constant, slope)."""

    dense: tuple[float, float]
    bm25: tuple[float, float]

    def dense_share(self, best_cosine: float) -> float:
        """How much vectors count, 0–1; words count the rest."""
        dense = max(self.dense[0] + self.dense[1] * best_cosine, 0.0)
        words = max(self.bm25[0] + self.bm25[1] * best_cosine, 0.0)
        return dense / (dense + words) if dense + words > 0 else 0.5


@dataclass(frozen=True, slots=True)
class LogisticModel:
    """Coefficients by the name of their signal, and the bias."""

    coefficients: Mapping[str, float]
    bias: float


@dataclass(frozen=True, slots=True)
class RelevanceWeights:
    """One model for searches with the query's vector, one for those without."""

    with_vector: LogisticModel
    without_vector: LogisticModel


@dataclass(frozen=True, slots=True)
class Weights:
    """Everything that was fitted."""

    version: str
    fusion: FusionWeights
    relevance: RelevanceWeights


def load_weights() -> Weights:
    """The weights in use."""
    return parse_weights(json.loads((files("retrieval.index") / "weights.json").read_text("utf-8")))


def parse_weights(data: Mapping[str, Any]) -> Weights:
    """The weights in the form of `weights.json`."""
    fusion = data["fusion"]
    return Weights(
        version=data["version"],
        fusion=FusionWeights(tuple(fusion["dense"]), tuple(fusion["bm25"])),
        relevance=RelevanceWeights(
            _model(data["relevance"]["with_vector"]), _model(data["relevance"]["without_vector"])
        ),
    )


def _model(data: Mapping[str, Any]) -> LogisticModel:
    return LogisticModel(dict(data["coefficients"]), data["bias"])
