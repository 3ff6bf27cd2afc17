"""Events that no handler could take: kept, listed, and handled again by hand."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from fleetkit.postgres.connection import FleetConnection
from fleetkit.postgres.database import Database
from fleetkit.postgres.tenants import known_tenants, remember_tenant

_PAGE = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was given up; `error` is a class and a reason, never text."""

    event_id: UUID
    tenant_id: UUID
    subject: str
    headers: dict[str, str]
    body: str
    deliveries: int
    error: str
    create_time: datetime


def line(letter: DeadLetter) -> str:
    """A dead letter on one line, for the operator: ids and times, no body."""
    return (
        f"{letter.create_time:%Y-%m-%dT%H:%M:%SZ} {letter.event_id} {letter.subject}"
        f" deliveries={letter.deliveries} error={letter.error!r}"
    )


async def keep(
    db: Database,
    *,
    tenant_id: UUID,
    event_id: UUID,
    subject: str,
    headers: dict[str, str],
    body: str,
    deliveries: int,
    error: str,
) -> None:
    """Keeps an event that could not be handled, and its tenant, of whom it may be the first."""
    async with db.tenant(tenant_id) as conn:
        await remember_tenant(conn, tenant_id)
        await conn.execute(
            "insert into dead_letter"
            " (event_id, tenant_id, subject, headers, body, deliveries, error)"
            " values (%s, %s, %s, %s, %s, %s, %s)"
            " on conflict (event_id) do update"
            " set deliveries = excluded.deliveries, error = excluded.error",
            [event_id, tenant_id, subject, Jsonb(headers), body, deliveries, error],
        )


async def waiting(db: Database) -> AsyncIterator[DeadLetter]:
    """The dead letters of every known tenant, one tenant at a time, oldest first."""
    after: UUID | None = None
    while tenants := await known_tenants(db, after):
        for tenant_id in tenants:
            async for letter in _of_tenant(db, tenant_id):
                yield letter
        after = tenants[-1]


async def _of_tenant(db: Database, tenant_id: UUID) -> AsyncIterator[DeadLetter]:
    """Pages by key, so that a letter that stays dead is not met twice."""
    last: DeadLetter | None = None
    while True:
        async with db.tenant(tenant_id) as conn:
            page = await _page(conn, tenant_id, last)
        for letter in page:
            yield letter
        if len(page) < _PAGE:
            return
        last = page[-1]


async def _page(
    conn: FleetConnection, tenant_id: UUID, last: DeadLetter | None
) -> list[DeadLetter]:
    async with conn.cursor(row_factory=class_row(DeadLetter)) as cursor:
        await cursor.execute(
            "select event_id, tenant_id, subject, headers, body, deliveries, error, create_time"
            " from dead_letter where tenant_id = %(tenant_id)s"
            " and (%(time)s::timestamptz is null or (create_time, event_id) > (%(time)s, %(id)s))"
            " order by create_time, event_id limit %(limit)s",
            {
                "tenant_id": tenant_id,
                "time": last.create_time if last else None,
                "id": last.event_id if last else None,
                "limit": _PAGE,
            },
        )
        return await cursor.fetchall()
