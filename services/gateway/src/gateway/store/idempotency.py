"""Rows of Idempotency-Keys."""

from dataclasses import dataclass
from uuid import UUID

from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class KeyUse:
    """Where an Idempotency-Key was used: who, for what, the key's hash."""

    tenant_id: UUID
    subject: str
    operation: str
    key_sha256: bytes


@dataclass(frozen=True, slots=True)
class KeyRow:
    """The request that a key stands for; `in_flight` while it is being answered."""

    request_id: UUID
    body_sha256: bytes
    in_flight: bool


async def insert_key_use(
    conn: FleetConnection, use: KeyUse, body_sha256: bytes, request_id: UUID, lease_s: float
) -> bool:
    """Records the first use of a key; False when it was used before."""
    added = await conn.execute(
        "insert into idempotency_key"
        " (tenant_id, subject, operation, key_sha256, body_sha256, request_id, lease_until)"
        " values (%s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))"
        " on conflict do nothing",
        [
            use.tenant_id,
            use.subject,
            use.operation,
            use.key_sha256,
            body_sha256,
            request_id,
            lease_s,
        ],
    )
    return added.rowcount == 1


async def key_use(conn: FleetConnection, use: KeyUse) -> KeyRow | None:
    """What a key stands for, locked until the transaction ends."""
    async with conn.cursor(row_factory=class_row(KeyRow)) as cursor:
        await cursor.execute(
            "select request_id, body_sha256, coalesce(lease_until > clock_timestamp(), false)"
            " as in_flight from idempotency_key where tenant_id = %s and subject = %s"
            " and operation = %s and key_sha256 = %s for update",
            [use.tenant_id, use.subject, use.operation, use.key_sha256],
        )
        return await cursor.fetchone()


async def set_lease(conn: FleetConnection, use: KeyUse, lease_s: float) -> None:
    """Marks the request as being answered for at most `lease_s`; 0 when it is answered."""
    await conn.execute(
        "update idempotency_key set lease_until = clock_timestamp() + make_interval(secs => %s)"
        " where tenant_id = %s and subject = %s and operation = %s and key_sha256 = %s",
        [lease_s, use.tenant_id, use.subject, use.operation, use.key_sha256],
    )


async def delete_old_key_uses(conn: FleetConnection, tenant_id: UUID, hours: int) -> int:
    """Forgets keys first used more than `hours` ago; returns how many."""
    deleted = await conn.execute(
        "delete from idempotency_key where tenant_id = %s"
        " and create_time < now() - make_interval(hours => %s)",
        [tenant_id, hours],
    )
    return deleted.rowcount
