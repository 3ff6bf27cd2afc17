"""The tenants a service has heard of, so that fleet-wide jobs can visit them one at a time."""

from uuid import UUID

from psycopg import AsyncConnection

from fleetkit.postgres.database import Database

_PAGE = 1000


async def remember_tenant(conn: AsyncConnection, tenant_id: UUID) -> None:
    """Records that the tenant exists; consumers do it with each event. Idempotent."""
    await conn.execute(
        "insert into known_tenants (tenant_id) values (%s) on conflict do nothing", [tenant_id]
    )


async def known_tenants(db: Database, after: UUID | None = None) -> list[UUID]:
    """Up to 1,000 tenants in id order, those after `after`; empty at the end."""
    rows = await db.fleet_call(
        "select tenant_id from known_tenants where tenant_id > %(after)s"
        " order by tenant_id limit %(limit)s",
        {"after": after or UUID(int=0), "limit": _PAGE},
    )
    return [row[0] for row in rows]
