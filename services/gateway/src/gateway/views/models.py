"""Settings → Models: prices, own keys, and how models fare."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm_pb
from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as pb
from fleetkit.errors import InvalidArgument

from gateway.shapes.models import PriceTier, SetPricesRequest
from gateway.views.format import (
    NANOS_PER_DOLLAR,
    When,
    count,
    nanos_typed,
    price_per_million,
    sentence,
    when_of,
)
from gateway.views.frame import Badge, link

_MOST_DOLLARS = 1_000_000
_DOES = {"answer": "Answers", "embed": "Embeds", "rerank": "Reranks", "see": "Reads pictures"}
_KINDS = {
    "input_token": "Input tokens",
    "output_token": "Output tokens",
    "cache_read_token": "Tokens read from the cache",
    "cache_write_5m_token": "Tokens written to the cache for 5 minutes",
    "cache_write_30m_token": "Tokens written to the cache for 30 minutes",
    "cache_write_1h_token": "Tokens written to the cache for an hour",
    "image_token": "Tokens of pictures",
    "compute_us": "CPU microseconds",
    "embedding_token": "Tokens embedded",
    "rerank_token": "Tokens reranked",
    "rerank_search": "Searches reranked",
    "rerank_pair": "Pairs of query and passage",
}
_PROVIDERS = {
    "anthropic": "Anthropic",
    "cohere": "Cohere",
    "gemini": "Gemini",
    "openai": "OpenAI",
    "voyage": "Voyage AI",
}
_FIRST = ("input_token", "output_token", "cache_read_token")
_PER = {
    "input_token": "in",
    "output_token": "out",
    "cache_read_token": "cached",
    # A million microseconds.
    "compute_us": "a CPU second",
    "rerank_search": "a thousand searches",
    "rerank_pair": "for pairs",
}
# Of a price of a million, where it is told of fewer.
_PART = {"rerank_search": 1_000}


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A model in the table; `facts` are its prices in words, the shortest prompts' first."""

    model: str
    does: str
    facts: tuple[str, ...]
    is_own: bool
    since: When | None
    source: str
    configured: bool
    href: str


@dataclass(frozen=True, slots=True)
class PriceField:
    """A price to type, in dollars per million units."""

    name: str
    label: str
    value: str
    of_book: str


@dataclass(frozen=True, slots=True)
class PriceSheet:
    """The prices of one model, to change."""

    model: str
    is_own: bool
    fields: tuple[PriceField, ...]


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A provider, and the tenant's own key at it as far as it is shown."""

    provider: str
    name: str
    last_four: str
    since: When | None
    href: str


@dataclass(frozen=True, slots=True)
class ModelsPage:
    """What models cost here, and whose keys they are asked by."""

    headline: str
    version: str
    rows: tuple[PriceRow, ...]
    keys: tuple[KeyRow, ...]


@dataclass(frozen=True, slots=True)
class HealthRow:
    """How a model fares."""

    model: str
    state: Badge
    success: When | None
    failure: When | None
    reason: str
    calls: str
    took: str


def provider_name(provider: str) -> str:
    """What people call a provider; one that is not known by its own name."""
    return _PROVIDERS.get(provider, provider)


def health_rows(models: Sequence[pb.ModelHealth], now: datetime) -> tuple[HealthRow, ...]:
    """Those that are left alone or failed last come first, then by name."""
    rows = sorted(models, key=lambda one: (_badge(one).tone == "good", one.model))
    return tuple(
        HealthRow(
            model=one.model,
            state=_badge(one),
            success=when_of(one.last_success_time, now)
            if one.HasField("last_success_time")
            else None,
            failure=when_of(one.last_failure_time, now)
            if one.HasField("last_failure_time")
            else None,
            reason=sentence(one.last_reason.replace("_", " ").lower()),
            calls=f"{one.failures:,} of {one.calls:,}",
            took=f"{one.p50_ms:,} ms · {one.p95_ms:,} ms" if one.p50_ms else "–",
        )
        for one in rows
    )


def _badge(health: pb.ModelHealth) -> Badge:
    if health.circuit == llm_pb.CIRCUIT_STATE_OPEN:
        return Badge(f"Left alone for {health.retry_after_ms / 1000:.0f} s", "circle-stop", "bad")
    if health.circuit == llm_pb.CIRCUIT_STATE_TRYING:
        return Badge("Being tried", "loader-circle", "busy")
    failed_last = health.HasField("last_failure_time") and (
        not health.HasField("last_success_time")
        or health.last_failure_time.ToNanoseconds() > health.last_success_time.ToNanoseconds()
    )
    if failed_last:
        return Badge("Failed last", "triangle-alert", "warn")
    return Badge("Works", "circle-check", "good")


def key_rows(found: pb.ListProviderKeysResponse, now: datetime) -> tuple[KeyRow, ...]:
    """Every provider that takes a key of the tenant's own."""
    keys = {key.provider: key for key in found.keys}
    return tuple(
        KeyRow(
            provider=provider,
            name=_PROVIDERS.get(provider, provider),
            last_four=keys[provider].last_four if provider in keys else "",
            since=when_of(keys[provider].create_time, now) if provider in keys else None,
            href=link("/settings/models/key", provider=provider),
        )
        for provider in found.providers
    )


def models_page(
    found: pb.ListPricesResponse, keys: pb.ListProviderKeysResponse, now: datetime
) -> ModelsPage:
    """Configured models first, then those of the book, each by name."""
    prices = sorted(found.prices, key=lambda price: (not price.is_configured, price.model))
    own = sum(price.is_own for price in prices)
    configured = sum(price.is_configured for price in prices)
    headline = (
        f"{count(configured, 'model')} can be used here, {count(len(prices), 'price')} in the"
        f" price book, {own or 'none'} of them your own."
    )
    rows = tuple(_row(one, now) for one in prices)
    return ModelsPage(headline, found.price_book_version, rows, key_rows(keys, now))


def price_sheet(price: pb.ModelPrice) -> PriceSheet:
    """The fields of a model's prices."""
    of_book = {
        (tier.above_prompt_tokens, kind): nanos
        for tier in price.book_tiers
        for kind, nanos in tier.prices.items()
    }
    fields = [
        PriceField(
            name=_name(tier.above_prompt_tokens, kind),
            label=f"{kind_name(kind)}{_over(tier.above_prompt_tokens)}",
            value=_dollars(tier.prices[kind]),
            of_book=price_per_million(of_book.get((tier.above_prompt_tokens, kind), 0)),
        )
        for tier in price.tiers
        for kind in _ordered(list(tier.prices))
    ]
    return PriceSheet(price.model, price.is_own, tuple(fields))


def field_names(price: pb.ModelPrice) -> tuple[str, ...]:
    """The names of the sheet's fields."""
    return tuple(field.name for field in price_sheet(price).fields)


def prices_typed(price: pb.ModelPrice, typed: dict[str, str]) -> SetPricesRequest:
    """What was typed into the sheet; InvalidArgument names the field."""
    tiers = [
        PriceTier(
            tier.above_prompt_tokens,
            {kind: _nanos(_name(tier.above_prompt_tokens, kind), typed) for kind in tier.prices},
        )
        for tier in price.tiers
    ]
    return SetPricesRequest(price.model, tiers)


def kind_name(kind: str) -> str:
    """A kind of unit in words."""
    return _KINDS.get(kind, kind.replace("_", " "))


def _row(price: pb.ModelPrice, now: datetime) -> PriceRow:
    return PriceRow(
        model=price.model,
        does=_DOES.get(price.serves, price.serves),
        facts=tuple(_fact(tier) for tier in price.tiers),
        is_own=price.is_own,
        since=when_of(price.own_since, now) if price.is_own else None,
        source=f"{price.source}, {price.source_date}",
        configured=price.is_configured,
        href=link("/settings/models/price", model=price.model),
    )


def _price(kind: str, nanos: int) -> str:
    return price_per_million(nanos // _PART.get(kind, 1))


def _fact(tier: pb.PriceTier) -> str:
    said = [
        f"{_price(kind, tier.prices[kind])} {_PER.get(kind, 'for tokens')}"
        for kind in _ordered(list(tier.prices))
        if kind in _FIRST or not set(_FIRST) & set(tier.prices)
    ]
    return f"{' · '.join(said)}{_over(tier.above_prompt_tokens)}"


def _over(above_prompt_tokens: int) -> str:
    return f", prompts over {above_prompt_tokens:,} tokens" if above_prompt_tokens else ""


def _ordered(kinds: Sequence[str]) -> list[str]:
    known = list(_KINDS)
    return sorted(kinds, key=lambda kind: (known.index(kind) if kind in known else 99, kind))


def _name(above_prompt_tokens: int, kind: str) -> str:
    return f"{kind}-{above_prompt_tokens}"


def _dollars(nanos: int) -> str:
    return f"{(Decimal(nanos) / NANOS_PER_DOLLAR).normalize():f}"


def _nanos(name: str, typed: dict[str, str]) -> int:
    nanos = nanos_typed(typed.get(name, ""))
    if nanos is None or not 1 <= nanos <= _MOST_DOLLARS * NANOS_PER_DOLLAR:
        raise InvalidArgument("write dollars per million units, such as 0.25, above 0", field=name)
    return nanos
