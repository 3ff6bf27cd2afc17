"""What a unit costs: the price book, effective-dated and tiered by prompt length.

Prices are integer nano-dollars per million units. An amount is units × price ÷ 10⁶, rounded
half-even once; there are no floats on the way.
"""

import enum
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import yaml
from fleetkit.errors import FailedPrecondition
from pydantic import BaseModel, ConfigDict, Field, ValidationError

_MILLION = 1_000_000
_ABOVE = "above_prompt_tokens"

Serves = Literal["answer", "embed", "rerank", "see"]


class Unit(enum.StrEnum):
    """Kinds of unit that calls use, as they stand in the price book and on the ledger."""

    COMPUTE_US = "compute_us"
    INPUT = "input_token"
    OUTPUT = "output_token"
    CACHE_READ = "cache_read_token"
    CACHE_WRITE_5M = "cache_write_5m_token"
    CACHE_WRITE_1H = "cache_write_1h_token"


class PriceBookError(ValueError):
    """The file is not a price book; the message says where."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices by kind of unit for prompts longer than `above_prompt_tokens`."""

    above_prompt_tokens: int
    prices: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Period:
    """Prices from `start` (None: always) until the next period's start."""

    start: datetime | None
    source: str
    date: date
    tiers: tuple[Tier, ...]

    def tier(self, prompt_tokens: int) -> Tier:
        """The tier of a request with so many prompt tokens (input + cache reads + writes)."""
        return max(
            (tier for tier in self.tiers if prompt_tokens > tier.above_prompt_tokens),
            key=lambda tier: tier.above_prompt_tokens,
            default=self.tiers[0],
        )


@dataclass(frozen=True, slots=True)
class PricedModel:
    """A model's prices over time, earliest first, and facts that its caching depends on."""

    model: str
    serves: Serves
    cache_minimum_tokens: int | None
    periods: tuple[Period, ...]

    def period(self, at: datetime) -> Period | None:
        """The period that holds at a time; None before the first."""
        holding = [p for p in self.periods if p.start is None or p.start <= at]
        return holding[-1] if holding else None


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All prices of one version of the file, by "provider/model"."""

    version: str
    models: Mapping[str, PricedModel]

    def period(self, model: str, at: datetime, kinds: Collection[str] = ()) -> Period:
        """The prices of `model` at a time; FailedPrecondition (UNPRICED_MODEL) without.

        `kinds` are the units that the call may use: each must have a price in every tier, so
        that nothing turns out to be free.
        """
        priced = self.models.get(model)
        period = priced.period(at) if priced else None
        if period is None:
            raise FailedPrecondition(
                f"{model} has no price at {at:%Y-%m-%d}: choose a model of the price book "
                f"(version {self.version})",
                field="model",
                reason="UNPRICED_MODEL",
            )
        for kind in kinds:
            if any(kind not in tier.prices for tier in period.tiers):
                raise FailedPrecondition(
                    f"{model} has no price for {kind} in price book {self.version}",
                    field="model",
                    reason="UNPRICED_MODEL",
                    details={"kind": kind},
                )
        return period


def amount_nanos(units: int, price_nanos_per_million: int) -> int:
    """Units × price ÷ 10⁶, rounded half-even."""
    quotient, rest = divmod(units * price_nanos_per_million, _MILLION)
    if rest * 2 > _MILLION or (rest * 2 == _MILLION and quotient % 2):
        quotient += 1
    return quotient


def load(path: Path | None = None) -> PriceBook:
    """The price book in a file, by default the one that ships with the service; PriceBookError."""
    if path is None:
        text = resources.files("llm_gateway").joinpath("prices.yaml").read_text("utf-8")
    else:
        text = path.read_text("utf-8")
    return parse(text)


def parse(text: str) -> PriceBook:
    """The price book in a YAML text; PriceBookError names what is wrong."""
    try:
        entry = _BookEntry.model_validate(yaml.load(text, _UniqueKeys))  # noqa: S506 - a SafeLoader
    except (ValidationError, yaml.YAMLError) as error:
        raise PriceBookError(str(error)) from error
    models: dict[str, PricedModel] = {}
    for model in entry.models:
        if model.model in models:
            raise PriceBookError(f"{model.model} stands twice")
        models[model.model] = PricedModel(
            model.model,
            model.serves,
            model.cache_minimum_tokens,
            tuple(sorted(map(_period, model.periods), key=_start)),
        )
    return PriceBook(entry.version, models)


def _period(entry: "_PeriodEntry") -> Period:
    start = datetime.combine(entry.start, time.min, UTC) if entry.start else None
    tiers = [
        Tier(tier.get(_ABOVE, 0), {kind: tier[kind] for kind in tier if kind != _ABOVE})
        for tier in entry.tiers
    ]
    return Period(
        start,
        entry.source,
        entry.date,
        tuple(sorted(tiers, key=lambda tier: tier.above_prompt_tokens)),
    )


def _start(period: Period) -> datetime:
    return period.start or datetime.min.replace(tzinfo=UTC)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _PeriodEntry(_Entry):
    start: date | None = Field(default=None, alias="from")
    source: Annotated[str, Field(min_length=1)]
    date: date
    tiers: Annotated[list[dict[str, Annotated[int, Field(ge=0)]]], Field(min_length=1)]


class _ModelEntry(_Entry):
    model: Annotated[str, Field(pattern=r"^[a-z0-9-]+/\S+$")]
    serves: Serves
    cache_minimum_tokens: Annotated[int, Field(ge=1)] | None = None
    periods: Annotated[list[_PeriodEntry], Field(min_length=1)]


class _BookEntry(_Entry):
    version: Annotated[str, Field(min_length=1)]
    models: list[_ModelEntry]


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a mapping that names a key twice, which YAML itself would let pass."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"the key {key} stands twice{node.start_mark}")
        return super().construct_mapping(node, deep)
