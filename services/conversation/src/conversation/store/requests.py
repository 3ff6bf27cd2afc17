"""SQL of remembered requests."""

from dataclasses import dataclass
from uuid import UUID

from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request that was carried out: what it asked for, and what it made."""

    fingerprint: bytes
    result_id: UUID


async def insert_request(
    conn: FleetConnection,
    tenant_id: UUID,
    method: str,
    request_id: str,
    fingerprint: bytes,
    result_id: UUID,
) -> bool:
    """Remembers a request; False when the id is known. Waits for one that is being carried out."""
    result = await conn.execute(
        "insert into request (tenant_id, method, request_id, fingerprint, result_id)"
        " values (%s, %s, %s, %s, %s) on conflict do nothing",
        [tenant_id, method, request_id, fingerprint, result_id],
    )
    return result.rowcount == 1


async def get_request(
    conn: FleetConnection, tenant_id: UUID, method: str, request_id: str
) -> RequestRow | None:
    """The request under this id, if it was carried out."""
    async with conn.cursor(row_factory=class_row(RequestRow)) as cursor:
        await cursor.execute(
            "select fingerprint, result_id from request"
            " where tenant_id = %s and method = %s and request_id = %s",
            [tenant_id, method, request_id],
        )
        return await cursor.fetchone()


async def delete_requests(conn: FleetConnection, tenant_id: UUID, keep_days: int) -> int:
    """Forgets requests older than `keep_days`, in real time; returns how many."""
    result = await conn.execute(
        "delete from request"
        " where tenant_id = %s and create_time < now() - make_interval(days => %s)",
        [tenant_id, keep_days],
    )
    return result.rowcount
