"""Experiments."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

_SELECT = (
    "select experiment_id, name, fusion_version, rerank_model, share_percent, running,"
    "  create_time, change_time, end_time, request_sha256"
    " from experiment"
)


@dataclass(frozen=True, slots=True)
class ExperimentRow:
    """What is tried on which share; `rerank_model` is "" for as it is asked for."""

    experiment_id: UUID
    name: str
    fusion_version: str
    rerank_model: str
    share_percent: int
    running: bool
    create_time: datetime
    change_time: datetime
    end_time: datetime | None
    request_sha256: bytes


async def lock_tenant(conn: FleetConnection, tenant_id: UUID) -> None:
    """Makes the experiments of a tenant be started one after the other."""
    await conn.execute(
        "select pg_advisory_xact_lock(hashtextextended('experiment' || %s, 0))", [str(tenant_id)]
    )


async def find_by_request(
    conn: FleetConnection, tenant_id: UUID, request_id: str
) -> ExperimentRow | None:
    """The experiment that a request started before."""
    async with conn.cursor(row_factory=class_row(ExperimentRow)) as cursor:
        await cursor.execute(
            _SELECT + " where tenant_id = %s and request_id = %s", [tenant_id, request_id]
        )
        return await cursor.fetchone()


async def running(conn: FleetConnection, tenant_id: UUID) -> ExperimentRow | None:
    """The one that runs."""
    async with conn.cursor(row_factory=class_row(ExperimentRow)) as cursor:
        await cursor.execute(_SELECT + " where tenant_id = %s and running", [tenant_id])
        return await cursor.fetchone()


async def get(conn: FleetConnection, tenant_id: UUID, experiment_id: UUID) -> ExperimentRow | None:
    """The experiment, which nobody else changes until the transaction ends."""
    async with conn.cursor(row_factory=class_row(ExperimentRow)) as cursor:
        await cursor.execute(
            _SELECT + " where tenant_id = %s and experiment_id = %s for no key update",
            [tenant_id, experiment_id],
        )
        return await cursor.fetchone()


async def list_experiments(
    conn: FleetConnection, tenant_id: UUID, limit: int
) -> list[ExperimentRow]:
    """Experiments, newest first."""
    async with conn.cursor(row_factory=class_row(ExperimentRow)) as cursor:
        await cursor.execute(
            _SELECT + " where tenant_id = %s order by experiment_id desc limit %s",
            [tenant_id, limit],
        )
        return await cursor.fetchall()


async def insert(
    conn: FleetConnection, tenant_id: UUID, row: ExperimentRow, request_id: str
) -> None:
    """A new experiment, which runs."""
    await conn.execute(
        "insert into experiment (tenant_id, experiment_id, request_id, request_sha256, name,"
        "  fusion_version, rerank_model, share_percent, create_time, change_time)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            tenant_id,
            row.experiment_id,
            request_id,
            row.request_sha256,
            row.name,
            row.fusion_version,
            row.rerank_model,
            row.share_percent,
            row.create_time,
            row.change_time,
        ],
    )


async def set_share(
    conn: FleetConnection, tenant_id: UUID, experiment_id: UUID, share_percent: int, now: datetime
) -> None:
    """Another share for one that runs."""
    await conn.execute(
        "update experiment set share_percent = %s, change_time = %s"
        " where tenant_id = %s and experiment_id = %s and share_percent <> %s",
        [share_percent, now, tenant_id, experiment_id, share_percent],
    )


async def stop(conn: FleetConnection, tenant_id: UUID, experiment_id: UUID, now: datetime) -> None:
    """Ends one that runs."""
    await conn.execute(
        "update experiment set running = false, end_time = %s"
        " where tenant_id = %s and experiment_id = %s and running",
        [now, tenant_id, experiment_id],
    )
