"""What tenants have decided about models, read once in a few seconds and not for every call."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import Database

from llm_gateway.pricing import Period, Tier
from llm_gateway.store import model_settings as store
from llm_gateway.store.model_settings import OwnPriceRow, ProviderKeyRow

# How long a change in another replica may go unnoticed.
_FRESH_S = 5.0
_MOST_TENANTS = 10_000


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """Prices of a model that the tenant has set; `revision` counts the tenant's."""

    revision: int
    since: datetime
    period: Period


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A tenant's own prices by model, and its own keys by provider."""

    prices: Mapping[str, OwnPrice]
    keys: Mapping[str, ProviderKeyRow]


class TenantSettings:
    """Reads settings of tenants; those of a tenant are at most five seconds old."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._read: dict[UUID, tuple[float, ModelSettings]] = {}

    async def of(self, tenant_id: UUID) -> ModelSettings:
        """The tenant's settings."""
        read = self._read.get(tenant_id)
        now = time.monotonic()
        if read is not None and now < read[0]:
            return read[1]
        async with self._db.tenant(tenant_id) as conn:
            prices = await store.own_prices(conn, tenant_id)
            keys = await store.provider_keys(conn, tenant_id)
        settings = ModelSettings(
            {row.model: _own_price(row) for row in prices}, {row.provider: row for row in keys}
        )
        if len(self._read) >= _MOST_TENANTS:
            self._read.clear()
        self._read[tenant_id] = (now + _FRESH_S, settings)
        return settings

    def forget(self, tenant_id: UUID) -> None:
        """Has them read anew: they were changed here."""
        self._read.pop(tenant_id, None)


def _own_price(row: OwnPriceRow) -> OwnPrice:
    tiers = [Tier(tier["above_prompt_tokens"], tier["prices"]) for tier in row.tiers]
    period = Period(row.start_time, "the tenant's own price", row.start_time.date(), tuple(tiers))
    return OwnPrice(row.revision, row.start_time, period)
