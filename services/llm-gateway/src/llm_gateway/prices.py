"""The prices that hold for a tenant: those of the book, and its own in their place."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fleetkit.clock import Clock
from fleetkit.errors import InvalidArgument, NotFound
from fleetkit.ids import new_id
from fleetkit.postgres import Database

from llm_gateway.pricing import Period, PriceBook, PricedModel, Tier
from llm_gateway.store import model_settings as store
from llm_gateway.tenant_settings import OwnPrice, TenantSettings

_MOST_TIERS = 8
_MOST_NANOS = 10**15
_MOST_TOKENS = 10**9


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of a model at a time, and the version that the ledger names."""

    period: Period
    version: str


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """A model of the book with the prices that hold for a tenant, and the book's."""

    priced: PricedModel
    holding: Period
    of_book: Period
    own: OwnPrice | None


class TenantPrices:
    """Prices by tenant, of `book` and of what tenants have set."""

    def __init__(
        self, db: Database, clock: Clock, book: PriceBook, settings: TenantSettings
    ) -> None:
        self._db = db
        self._clock = clock
        self.book = book
        self._settings = settings

    async def own(self, tenant_id: UUID) -> Mapping[str, OwnPrice]:
        """The tenant's own prices, by model."""
        return (await self._settings.of(tenant_id)).prices

    async def holding(
        self, tenant_id: UUID, model: str, at: datetime, kinds: Collection[str]
    ) -> Prices:
        """What a call that begins now costs; FailedPrecondition (UNPRICED_MODEL) as `PriceBook`."""
        of_book = self.book.period(model, at, kinds)
        own = (await self.own(tenant_id)).get(model)
        if own is None:
            return Prices(of_book, self.book.version)
        return Prices(own.period, f"{self.book.version}+own-{own.revision}")

    async def listed(self, tenant_id: UUID) -> list[ListedPrice]:
        """Every model of the book that has a price now, by name."""
        own = await self.own(tenant_id)
        return [
            listed
            for _, priced in sorted(self.book.models.items())
            if (listed := self._listed(priced, own.get(priced.model))) is not None
        ]

    async def set(self, tenant_id: UUID, model: str, tiers: Sequence[Tier]) -> ListedPrice:
        """Gives a model prices of the tenant's own from now on.

        NotFound for a model that the book does not have; InvalidArgument for prices that are not
        whole: each tier has to price what the book prices, so that nothing turns out free.
        """
        known = self._known(model)
        checked = _checked(tiers, {kind for tier in known.of_book.tiers for kind in tier.prices})
        now = self._clock.now()
        async with self._db.tenant(tenant_id) as conn:
            await store.lock_own_prices(conn, tenant_id)
            await store.end_own_price(conn, tenant_id, model, now)
            await store.insert_own_price(conn, tenant_id, new_id(), model, now, checked)
        self._settings.forget(tenant_id)
        own = (await self.own(tenant_id)).get(model)
        return self._listed(known.priced, own) or known

    async def clear(self, tenant_id: UUID, model: str) -> None:
        """Goes back to the book's prices from now on; NotFound as `set`. Idempotent."""
        self._known(model)
        async with self._db.tenant(tenant_id) as conn:
            await store.end_own_price(conn, tenant_id, model, self._clock.now())
        self._settings.forget(tenant_id)

    def _known(self, model: str) -> ListedPrice:
        priced = self.book.models.get(model)
        listed = self._listed(priced, None) if priced else None
        if listed is None:
            raise NotFound(f"the price book has no model {model!r}", field="model")
        return listed

    def _listed(self, priced: PricedModel, own: OwnPrice | None) -> ListedPrice | None:
        of_book = priced.period(self._clock.now())
        if of_book is None:
            return None
        return ListedPrice(priced, own.period if own else of_book, of_book, own)


def _checked(tiers: Sequence[Tier], kinds: Collection[str]) -> list[dict[str, Any]]:
    """The tiers as they are kept, shortest prompts first; InvalidArgument."""
    if not 1 <= len(tiers) <= _MOST_TIERS:
        raise InvalidArgument(f"tiers has 1–{_MOST_TIERS} items", field="tiers")
    limits = [tier.above_prompt_tokens for tier in tiers]
    if len(set(limits)) < len(limits) or min(limits) != 0 or max(limits) > _MOST_TOKENS:
        raise InvalidArgument(
            "tiers differ in above_prompt_tokens, and one of them is above 0", field="tiers"
        )
    for index, tier in enumerate(tiers):
        field = f"tiers[{index}].prices"
        if set(tier.prices) != set(kinds):
            raise InvalidArgument(
                f"{field} has to price {', '.join(sorted(kinds))}, as the price book does",
                field=field,
            )
        if not all(1 <= price <= _MOST_NANOS for price in tier.prices.values()):
            raise InvalidArgument(
                f"{field} are 1–{_MOST_NANOS} nano-dollars per million units", field=field
            )
    ordered = sorted(tiers, key=lambda tier: tier.above_prompt_tokens)
    return [
        {"above_prompt_tokens": tier.above_prompt_tokens, "prices": dict(tier.prices)}
        for tier in ordered
    ]
