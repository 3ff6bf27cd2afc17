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
    """Coefficients by the name of their signal, see `retrieval.index.ranking.signals`."""

    coefficients: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class LogisticModel:
    """Coefficients by the name of their signal, and the bias."""

    coefficients: Mapping[str, float]
    bias: float


@dataclass(frozen=True, slots=True)
class RelevanceModels:
    """One model for searches with the query's vector, one for those without."""

    with_vector: LogisticModel
    without_vector: LogisticModel


@dataclass(frozen=True, slots=True)
class RelevanceWeights:
    """The models for whole questions, and those for a few words, whose signals are others."""

    usual: RelevanceModels
    short: RelevanceModels


@dataclass(frozen=True, slots=True)
class Weights:
    """Everything that was fitted."""

    version: str
    fusion: FusionWeights
    relevance: RelevanceWeights


def load_weights() -> Weights:
    """The weights in use."""
    return parse_weights(json.loads((files("retrieval.index") / "weights.json").read_text("utf-8")))


def load_fusions() -> dict[str, FusionWeights]:
    """Other fusions by version, which an experiment can try; `fusions.json` says what they are."""
    raw = (files("retrieval.index") / "fusions.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(raw)
    return {version: FusionWeights(dict(entry["fusion"])) for version, entry in found.items()}


def parse_weights(data: Mapping[str, Any]) -> Weights:
    """The weights in the form of `weights.json`."""
    return Weights(
        version=data["version"],
        fusion=FusionWeights(dict(data["fusion"])),
        relevance=RelevanceWeights(
            _models(data["relevance"]["usual"]), _models(data["relevance"]["short"])
        ),
    )


def _models(data: Mapping[str, Any]) -> RelevanceModels:
    return RelevanceModels(_model(data["with_vector"]), _model(data["without_vector"]))


def _model(data: Mapping[str, Any]) -> LogisticModel:
    return LogisticModel(dict(data["coefficients"]), data["bias"])
