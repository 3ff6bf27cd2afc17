"""Rows of API keys."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class ApiKeyRow:
    """An API key, without the key."""

    key_id: UUID
    name: str
    prefix: str
    role: str
    scopes: list[str]
    creator: str
    create_time: datetime
    expire_time: datetime | None
    last_used_time: datetime | None
    revoke_time: datetime | None
    company: str = ""


async def insert_api_key(
    conn: FleetConnection, tenant_id: UUID, key: ApiKeyRow, key_sha256: bytes
) -> None:
    """Adds a key."""
    await conn.execute(
        "insert into api_key (key_id, tenant_id, name, prefix, key_sha256, role, scopes, creator,"
        " create_time, expire_time) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            key.key_id,
            tenant_id,
            key.name,
            key.prefix,
            key_sha256,
            key.role,
            key.scopes,
            key.creator,
            key.create_time,
            key.expire_time,
        ],
    )


async def api_key(conn: FleetConnection, tenant_id: UUID, key_id: UUID) -> ApiKeyRow | None:
    """A key by id, whether or not it may still be used."""
    async with conn.cursor(row_factory=class_row(ApiKeyRow)) as cursor:
        await cursor.execute(
            "select key_id, name, prefix, role, scopes, creator, api_key.create_time, expire_time,"
            " last_used_time, revoke_time, company"
            " from api_key join tenant using (tenant_id) where tenant_id = %s and key_id = %s",
            [tenant_id, key_id],
        )
        return await cursor.fetchone()


async def api_keys(
    conn: FleetConnection, tenant_id: UUID, limit: int, after: UUID | None
) -> list[ApiKeyRow]:
    """Keys that are not revoked, oldest first, those after `after`."""
    async with conn.cursor(row_factory=class_row(ApiKeyRow)) as cursor:
        await cursor.execute(
            "select key_id, name, prefix, role, scopes, creator, create_time, expire_time,"
            " last_used_time, revoke_time from api_key"
            " where tenant_id = %s and revoke_time is null and key_id > %s"
            " order by key_id limit %s",
            [tenant_id, after or UUID(int=0), limit],
        )
        return await cursor.fetchall()


async def count_api_keys(conn: FleetConnection, tenant_id: UUID) -> int:
    """How many keys are not revoked."""
    found = await conn.execute(
        "select count(*) from api_key where tenant_id = %s and revoke_time is null", [tenant_id]
    )
    row = await found.fetchone()
    return row[0] if row else 0


async def count_made_by(conn: FleetConnection, tenant_id: UUID, creator: str) -> int:
    """How many keys that are not revoked somebody has made."""
    found = await conn.execute(
        "select count(*) from api_key"
        " where tenant_id = %s and creator = %s and revoke_time is null",
        [tenant_id, creator],
    )
    row = await found.fetchone()
    return row[0] if row else 0


async def revoke_api_key(
    conn: FleetConnection, tenant_id: UUID, key_id: UUID, revoke_time: datetime
) -> bytes | None:
    """Ends a key; returns its hash, None when there is no such key or it is revoked already."""
    revoked = await conn.execute(
        "update api_key set revoke_time = %s"
        " where tenant_id = %s and key_id = %s and revoke_time is null returning key_sha256",
        [revoke_time, tenant_id, key_id],
    )
    row = await revoked.fetchone()
    return row[0] if row else None


async def touch_api_key(
    conn: FleetConnection, tenant_id: UUID, key_id: UUID, use_time: datetime
) -> None:
    """Records that the key is in use."""
    await conn.execute(
        "update api_key set last_used_time = %s where tenant_id = %s and key_id = %s",
        [use_time, tenant_id, key_id],
    )
