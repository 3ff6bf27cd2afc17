"""Rows of erasures and of the services' answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True)
class ErasureRow:
    """An erasure; `kind` is "visitor" or "tenant"."""

    erasure_id: UUID
    kind: str
    request_time: datetime
    finish_time: datetime | None


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """A service that has erased; `counts` by table."""

    erasure_id: UUID
    service: str
    complete_time: datetime
    counts: Mapping[str, int]


async def insert_erasure(conn: FleetConnection, tenant_id: UUID, row: ErasureRow) -> None:
    """Adds an erasure."""
    await conn.execute(
        "insert into erasure (tenant_id, erasure_id, kind, request_time) values (%s, %s, %s, %s)",
        [tenant_id, row.erasure_id, row.kind, row.request_time],
    )


async def lock_erasure(
    conn: FleetConnection, tenant_id: UUID, erasure_id: UUID
) -> ErasureRow | None:
    """An erasure, held until the end of the transaction: answers are counted one by one."""
    async with conn.cursor(row_factory=class_row(ErasureRow)) as cursor:
        await cursor.execute(
            "select erasure_id, kind, request_time, finish_time from erasure"
            " where tenant_id = %s and erasure_id = %s for update",
            [tenant_id, erasure_id],
        )
        return await cursor.fetchone()


async def add_answer(conn: FleetConnection, tenant_id: UUID, row: AnswerRow) -> int:
    """Adds a service's answer, once; returns how many services have answered."""
    await conn.execute(
        "insert into erasure_answer (tenant_id, erasure_id, service, complete_time, counts)"
        " values (%s, %s, %s, %s, %s) on conflict do nothing",
        [tenant_id, row.erasure_id, row.service, row.complete_time, Jsonb(dict(row.counts))],
    )
    counted = await conn.execute(
        "select count(*) from erasure_answer where tenant_id = %s and erasure_id = %s",
        [tenant_id, row.erasure_id],
    )
    found = await counted.fetchone()
    return found[0] if found else 0


async def finish_erasure(
    conn: FleetConnection, tenant_id: UUID, erasure_id: UUID, finish_time: datetime
) -> None:
    """Records that all services have answered."""
    await conn.execute(
        "update erasure set finish_time = %s where tenant_id = %s and erasure_id = %s",
        [finish_time, tenant_id, erasure_id],
    )


async def erasures(
    conn: FleetConnection, tenant_id: UUID, limit: int, before: UUID
) -> list[ErasureRow]:
    """A tenant's erasures, newest first, those before `before`."""
    async with conn.cursor(row_factory=class_row(ErasureRow)) as cursor:
        await cursor.execute(
            "select erasure_id, kind, request_time, finish_time from erasure"
            " where tenant_id = %s and erasure_id < %s order by erasure_id desc limit %s",
            [tenant_id, before, limit],
        )
        return await cursor.fetchall()


async def erasure(conn: FleetConnection, tenant_id: UUID, erasure_id: UUID) -> ErasureRow | None:
    """An erasure by id."""
    async with conn.cursor(row_factory=class_row(ErasureRow)) as cursor:
        await cursor.execute(
            "select erasure_id, kind, request_time, finish_time from erasure"
            " where tenant_id = %s and erasure_id = %s",
            [tenant_id, erasure_id],
        )
        return await cursor.fetchone()


async def answers(
    conn: FleetConnection, tenant_id: UUID, erasure_ids: Sequence[UUID]
) -> list[AnswerRow]:
    """What the services answered to these erasures, by service."""
    async with conn.cursor(row_factory=class_row(AnswerRow)) as cursor:
        await cursor.execute(
            "select erasure_id, service, complete_time, counts from erasure_answer"
            " where tenant_id = %s and erasure_id = any(%s) order by service",
            [tenant_id, list(erasure_ids)],
        )
        return await cursor.fetchall()


async def forget_all_credentials(conn: FleetConnection, tenant_id: UUID) -> None:
    """Nobody of the tenant gets in any more; receipts of erasures can still be opened."""
    await conn.execute(
        "delete from credential_index where tenant_id = %s and kind <> 'erasure'", [tenant_id]
    )
