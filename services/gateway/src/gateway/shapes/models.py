"""Bodies of models: what they cost. Amounts are integer nano-dollars per million units."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm_pb
from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as pb
from msgspec import Meta, Struct

from gateway.shapes.common import label_of, optional_time, time_of

ModelName = Annotated[str, Meta(min_length=3, max_length=200, description="As provider/model.")]
Nanos = Annotated[int, Meta(ge=1, le=10**15)]


class PriceTier(Struct, frozen=True, forbid_unknown_fields=True):
    """Prices by kind of unit, for every token of a request whose prompt is longer."""

    above_prompt_tokens: Annotated[int, Meta(ge=0, le=10**9)]
    prices: dict[str, Nanos]

    def message(self) -> pb.PriceTier:
        """As the proto."""
        return pb.PriceTier(above_prompt_tokens=self.above_prompt_tokens, prices=self.prices)


class ModelPrice(Struct, frozen=True):
    """A model of the price book, the prices that hold for the tenant, and the book's."""

    model: str
    serves: str
    source: str
    source_date: str
    tiers: list[PriceTier]
    book_tiers: list[PriceTier]
    is_own: bool
    own_since: datetime | None
    is_configured: bool

    @classmethod
    def of(cls, price: pb.ModelPrice) -> "ModelPrice":
        """From the proto."""
        return cls(
            model=price.model,
            serves=price.serves,
            source=price.source,
            source_date=price.source_date,
            tiers=_tiers(price.tiers),
            book_tiers=_tiers(price.book_tiers),
            is_own=price.is_own,
            own_since=optional_time(price, "own_since"),
            is_configured=price.is_configured,
        )


class ModelPriceList(Struct, frozen=True):
    """Every model of the price book, by name."""

    price_book_version: str
    items: list[ModelPrice]


# Those that llm-gateway takes keys for.
Provider = Literal["anthropic", "gemini", "openai"]


class ProviderKey(Struct, frozen=True):
    """A key of the tenant's own, as far as it is shown."""

    provider: str
    last_four: str
    create_time: datetime

    @classmethod
    def of(cls, key: pb.ProviderKey) -> "ProviderKey":
        """From the proto."""
        return cls(key.provider, key.last_four, time_of(key.create_time))


class ProviderKeyList(Struct, frozen=True):
    """The tenant's keys by provider, and the providers that it can have one for."""

    items: list[ProviderKey]
    providers: list[str]

    @classmethod
    def of(cls, found: pb.ListProviderKeysResponse) -> "ProviderKeyList":
        """From the proto."""
        return cls([ProviderKey.of(key) for key in found.keys], list(found.providers))


class SetProviderKeyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A key; it is never shown again."""

    provider: Provider
    api_key: Annotated[str, Meta(min_length=8, max_length=400, pattern="^[!-~]+$")]


class ModelHealth(Struct, frozen=True):
    """How a model fares in the process of llm-gateway that was asked, since it started.

    `circuit` is "closed" while answers ask it, "open" while it is left alone, "trying" when one
    request tries. Durations are of whole calls that succeeded, the latest 256.
    """

    model: str
    calls: int
    failures: int
    last_success_time: datetime | None
    last_failure_time: datetime | None
    last_reason: str
    p50_ms: int
    p95_ms: int
    circuit: str | None
    retry_after_ms: int

    @classmethod
    def of(cls, health: pb.ModelHealth) -> "ModelHealth":
        """From the proto."""
        return cls(
            model=health.model,
            calls=health.calls,
            failures=health.failures,
            last_success_time=optional_time(health, "last_success_time"),
            last_failure_time=optional_time(health, "last_failure_time"),
            last_reason=health.last_reason,
            p50_ms=health.p50_ms,
            p95_ms=health.p95_ms,
            circuit=label_of(llm_pb.CircuitState, health.circuit, "CIRCUIT_STATE_"),
            retry_after_ms=health.retry_after_ms,
        )


class ModelHealthList(Struct, frozen=True):
    """The models that were called, by name."""

    items: list[ModelHealth]


class SetPricesRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model costs the tenant from now on; each tier prices what the book prices."""

    model: ModelName
    tiers: Annotated[list[PriceTier], Meta(min_length=1, max_length=8)]


def _tiers(tiers: Sequence[pb.PriceTier]) -> list[PriceTier]:
    return [PriceTier(tier.above_prompt_tokens, dict(tier.prices)) for tier in tiers]
