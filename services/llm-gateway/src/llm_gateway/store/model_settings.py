"""SQL of llm-gateway: what a tenant decides about models."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPriceRow:
    """A row of `own_price` that holds now."""

    model: str
    revision: int
    start_time: datetime
    tiers: list[dict[str, Any]]


async def own_prices(conn: FleetConnection, tenant_id: UUID) -> list[OwnPriceRow]:
    """The tenant's prices that hold now, at most one for each model."""
    async with conn.cursor(row_factory=class_row(OwnPriceRow)) as cursor:
        await cursor.execute(
            "select model, revision, start_time, tiers from own_price"
            " where tenant_id = %s and end_time is null order by model",
            [tenant_id],
        )
        return await cursor.fetchall()


async def end_own_price(
    conn: FleetConnection, tenant_id: UUID, model: str, end_time: datetime
) -> None:
    """Ends the price of a model that holds, if one does."""
    await conn.execute(
        "update own_price set end_time = %s"
        " where tenant_id = %s and model = %s and end_time is null",
        [end_time, tenant_id, model],
    )


async def lock_own_prices(conn: FleetConnection, tenant_id: UUID) -> None:
    """Makes changes of the tenant's prices wait for each other until the transaction's end."""
    await conn.execute(
        "select pg_advisory_xact_lock(hashtextextended('own_price ' || %s, 0))", [str(tenant_id)]
    )


async def insert_own_price(
    conn: FleetConnection,
    tenant_id: UUID,
    own_price_id: UUID,
    model: str,
    start_time: datetime,
    tiers: list[dict[str, Any]],
) -> None:
    """Adds a price that holds from now on; the one before has to have ended."""
    await conn.execute(
        "insert into own_price (own_price_id, tenant_id, model, revision, start_time, tiers)"
        " select %(own_price_id)s, %(tenant_id)s, %(model)s, coalesce(max(revision), 0) + 1,"
        "  %(start_time)s, %(tiers)s"
        " from own_price where tenant_id = %(tenant_id)s",
        {
            "own_price_id": own_price_id,
            "tenant_id": tenant_id,
            "model": model,
            "start_time": start_time,
            "tiers": Jsonb(tiers),
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKeyRow:
    """A row of `provider_key`."""

    provider_key_id: UUID
    provider: str
    secrets_key_id: str
    sealed: bytes
    last_four: str
    create_time: datetime


async def provider_keys(conn: FleetConnection, tenant_id: UUID) -> list[ProviderKeyRow]:
    """The tenant's keys, at most one for each provider."""
    async with conn.cursor(row_factory=class_row(ProviderKeyRow)) as cursor:
        await cursor.execute(
            "select provider_key_id, provider, secrets_key_id, sealed, last_four, create_time"
            " from provider_key where tenant_id = %s order by provider",
            [tenant_id],
        )
        return await cursor.fetchall()


async def put_provider_key(conn: FleetConnection, tenant_id: UUID, row: ProviderKeyRow) -> None:
    """Adds a key in place of the one before."""
    await conn.execute(
        "insert into provider_key (provider_key_id, tenant_id, provider, secrets_key_id, sealed,"
        "  last_four, create_time)"
        " values (%(provider_key_id)s, %(tenant_id)s, %(provider)s, %(secrets_key_id)s,"
        "  %(sealed)s, %(last_four)s, %(create_time)s)"
        " on conflict (tenant_id, provider) do update set"
        "  provider_key_id = excluded.provider_key_id, secrets_key_id = excluded.secrets_key_id,"
        "  sealed = excluded.sealed, last_four = excluded.last_four,"
        "  create_time = excluded.create_time",
        {**asdict(row), "tenant_id": tenant_id},
    )


async def reseal_provider_key(
    conn: FleetConnection,
    tenant_id: UUID,
    provider_key_id: UUID,
    secrets_key_id: str,
    sealed: bytes,
) -> None:
    """Puts a key's other sealing in place of its first."""
    await conn.execute(
        "update provider_key set secrets_key_id = %s, sealed = %s"
        " where tenant_id = %s and provider_key_id = %s",
        [secrets_key_id, sealed, tenant_id, provider_key_id],
    )


async def delete_provider_key(conn: FleetConnection, tenant_id: UUID, provider: str) -> None:
    """Deletes the key, if there is one."""
    await conn.execute(
        "delete from provider_key where tenant_id = %s and provider = %s", [tenant_id, provider]
    )
