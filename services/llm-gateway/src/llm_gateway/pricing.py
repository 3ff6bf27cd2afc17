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

from llm_gateway.model_facts import Feature, ImageTokens, ModelFacts

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
    CACHE_WRITE_30M = "cache_write_30m_token"
    CACHE_WRITE_1H = "cache_write_1h_token"
    IMAGE = "image_token"
    EMBEDDING = "embedding_token"
    RERANK_SEARCH = "rerank_search"
    RERANK = "rerank_token"
    RERANK_PAIR = "rerank_pair"
    RESPONSE_CACHE_HIT = "response_cache_hit"


# Classes of input: counted together for the tier, priced as input where a model names no price.
PROMPT = (
    Unit.INPUT,
    Unit.CACHE_READ,
    Unit.CACHE_WRITE_5M,
    Unit.CACHE_WRITE_30M,
    Unit.CACHE_WRITE_1H,
    Unit.IMAGE,
)


class PriceBookError(ValueError):
    """The file is not a price book; the message says where."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices by kind of unit for prompts longer than `above_prompt_tokens`."""

    above_prompt_tokens: int
    prices: Mapping[str, int]

    def price(self, kind: str) -> int:
        """The price of a kind of unit; a class of input that has none of its own costs as input.

        KeyError for a kind without any price.
        """
        if kind not in self.prices and kind in PROMPT:
            return self.prices[Unit.INPUT]
        return self.prices[kind]


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

    def reachable(self, prompt_tokens: int) -> list[Tier]:
        """The tiers that a request with at most so many prompt tokens can be of."""
        cheapest = self.tier(0)
        return [
            tier
            for tier in self.tiers
            if tier is cheapest or prompt_tokens > tier.above_prompt_tokens
        ]


@dataclass(frozen=True, slots=True)
class PricedModel:
    """A model's prices over time, earliest first, and what is known of it."""

    model: str
    serves: Serves
    facts: ModelFacts
    periods: tuple[Period, ...]

    def ever_prices(self, kind: Unit) -> bool:
        """Whether a kind of unit has a price of its own in any period."""
        return any(kind in tier.prices for period in self.periods for tier in period.tiers)

    def period(self, at: datetime) -> Period | None:
        """The period that holds at a time; None before the first."""
        holding = [p for p in self.periods if p.start is None or p.start <= at]
        return holding[-1] if holding else None


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All prices of one version of the file, by "provider/model".

    `baseline_model` is the one that savings are told against; "" for none.
    """

    version: str
    models: Mapping[str, PricedModel]
    baseline_model: str = ""

    def baseline(self, model: str, at: datetime) -> Period | None:
        """Prices of the baseline model at a time; None where `model` is paid by other units."""
        priced, baseline = self.models.get(model), self.models.get(self.baseline_model)
        period = priced.period(at) if priced and priced.serves == "answer" else None
        if baseline is None or period is None or Unit.INPUT not in period.tiers[0].prices:
            return None
        return baseline.period(at)

    def facts(self, model: str) -> ModelFacts:
        """What is known of a model of the book beside its prices."""
        return self.models[model].facts

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


def usd(nanos: int) -> str:
    """Nano-dollars as dollars for a sentence: to the cent, small amounts to what they are."""
    dollars, rest = divmod(nanos, 10**9)
    digits = f"{rest:09d}".rstrip("0")
    return f"${dollars:,}.{digits:0<2}"


def load(path: Path | None = None, additions: Path | None = None) -> PriceBook:
    """The price book in a file, by default the one that ships with the service; PriceBookError.

    The models of the file `additions` are added to it, and stand in for those of the same name.
    """
    if path is None:
        text = resources.files("llm_gateway").joinpath("prices.yaml").read_text("utf-8")
    else:
        text = path.read_text("utf-8")
    book = parse(text)
    if additions is None:
        return book
    added = parse(additions.read_text("utf-8"))
    return PriceBook(
        f"{book.version}+{added.version}",
        {**book.models, **added.models},
        added.baseline_model or book.baseline_model,
    )


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
            model.facts(),
            tuple(sorted(map(_period, model.periods), key=_start)),
        )
    if entry.baseline_model and entry.baseline_model not in models:
        raise PriceBookError(f"the baseline model {entry.baseline_model} has no prices")
    return PriceBook(entry.version, models, entry.baseline_model)


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


class _ImageEntry(_Entry):
    base: Annotated[int, Field(ge=0)] = 0
    patch_px: Annotated[int, Field(ge=0)] = 0
    per_patch_millis: Annotated[int, Field(ge=1)] = 1000
    longest_px: Annotated[int, Field(ge=0)] = 0
    shortest_px: Annotated[int, Field(ge=0)] = 0
    most: Annotated[int, Field(ge=0)] = 0


class _ModelEntry(_Entry):
    model: Annotated[str, Field(pattern=r"^[a-z0-9-]+/\S+$")]
    serves: Serves
    cache_minimum_tokens: Annotated[int, Field(ge=1)] | None = None
    context_tokens: Annotated[int, Field(ge=1)] | None = None
    features: list[Feature] = []
    image_tokens: _ImageEntry | None = None
    parameters: dict[str, str] = {}
    periods: Annotated[list[_PeriodEntry], Field(min_length=1)]

    def facts(self) -> ModelFacts:
        """What is known of the model beside its prices."""
        return ModelFacts(
            self.cache_minimum_tokens,
            self.context_tokens,
            frozenset(self.features),
            ImageTokens(**self.image_tokens.model_dump()) if self.image_tokens else None,
            self.parameters,
        )


class _BookEntry(_Entry):
    version: Annotated[str, Field(min_length=1)]
    baseline_model: str = ""
    models: list[_ModelEntry]


class _UniqueKeys(yaml.CSafeLoader):
    """Refuses a mapping that names a key twice, which YAML itself would let pass."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"the key {key} stands twice{node.start_mark}")
        return super().construct_mapping(node, deep)
