"""Finds gaps in a price book: `python -m llm_gateway run check-prices`."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from llm_gateway.pricing import PriceBook, PricedModel, Tier, Unit

# Providers change prices within weeks; older facts should be looked up again.
_STALE_AFTER = timedelta(days=90)


def gaps(book: PriceBook, served: Collection[tuple[str, Collection[str]]]) -> list[str]:
    """What would refuse or misprice a call, one sentence each; empty when all is well.

    `served` lists the configured models with the kinds of unit that their calls may use.
    """
    return [*_unserved(book, served), *(gap for m in book.models.values() for gap in _of_model(m))]


def stale(book: PriceBook, now: datetime) -> list[str]:
    """Models whose newest fact is more than 90 days old, one sentence each."""
    return [
        f"{model.model}: checked on {newest}, more than {_STALE_AFTER.days} days ago"
        for model in book.models.values()
        if now.date() - (newest := max(period.date for period in model.periods)) > _STALE_AFTER
    ]


def _unserved(book: PriceBook, served: Collection[tuple[str, Collection[str]]]) -> Iterator[str]:
    for name, kinds in served:
        model = book.models.get(name)
        if model is None:
            yield f"{name}: configured, but not in the price book"
            continue
        for period in model.periods:
            for kind in kinds:
                if any(kind not in tier.prices for tier in period.tiers):
                    yield f"{name}: no price for {kind} from {period.start or 'the beginning'}"


def _of_model(model: PricedModel) -> Iterator[str]:
    starts = [period.start for period in model.periods]
    if len(set(starts)) < len(starts):
        yield f"{model.model}: two periods begin at the same time"
    for period in model.periods:
        limits = [tier.above_prompt_tokens for tier in period.tiers]
        if limits[0] != 0:
            yield f"{model.model}: no tier for prompts up to {limits[0]} tokens"
        if len(set(limits)) < len(limits):
            yield f"{model.model}: two tiers begin at the same length"
        if len({frozenset(tier.prices) for tier in period.tiers}) > 1:
            yield f"{model.model}: its tiers price different kinds of unit"
        for tier in period.tiers:
            yield from _of_tier(model, tier)


def _of_tier(model: PricedModel, tier: Tier) -> Iterator[str]:
    prices = tier.prices
    if not prices:
        yield f"{model.model}: a tier without prices"
    if (Unit.INPUT in prices) != (Unit.OUTPUT in prices):
        yield f"{model.model}: input and output are not both priced"
    if prices.get(Unit.CACHE_READ, 0) > prices.get(Unit.INPUT, 0):
        yield f"{model.model}: a cache read costs more than input"
    for kind, price in prices.items():
        if price == 0:
            yield f"{model.model}: {kind} is free"
