"""Rows of the audit log: ids and facts, never text of anybody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One thing that somebody did."""

    audit_id: UUID
    occur_time: datetime
    actor_kind: str
    actor: str
    action: str
    target: str
    details: Mapping[str, str]
    client_ip: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which lines are meant; "" and None leave none out. The end is not included."""

    actor: str = ""
    action: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None


async def insert_audit(conn: FleetConnection, tenant_id: UUID, row: AuditRow) -> None:
    """Adds a line to the log, in the transaction of what it tells of."""
    await conn.execute(
        "insert into audit_log (audit_id, tenant_id, occur_time, actor_kind, actor, action,"
        " target, details, client_ip) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            row.audit_id,
            tenant_id,
            row.occur_time,
            row.actor_kind,
            row.actor,
            row.action,
            row.target,
            Jsonb(dict(row.details)),
            row.client_ip,
        ],
    )


async def audit_log(
    conn: FleetConnection,
    tenant_id: UUID,
    limit: int,
    before: UUID,
    wanted: AuditFilter,
) -> list[AuditRow]:
    """Lines of the log that are wanted, newest first, those before `before`."""
    async with conn.cursor(row_factory=class_row(AuditRow)) as cursor:
        await cursor.execute(
            "select audit_id, occur_time, actor_kind, actor, action, target, details, client_ip"
            " from audit_log where tenant_id = %(tenant_id)s and audit_id < %(before)s"
            " and %(actor)s in ('', actor) and %(action)s in ('', action)"
            " and occur_time >= coalesce(%(start_time)s, '-infinity'::timestamptz)"
            " and occur_time < coalesce(%(end_time)s, 'infinity'::timestamptz)"
            " order by audit_id desc limit %(limit)s",
            {
                "tenant_id": tenant_id,
                "before": before,
                "actor": wanted.actor,
                "action": wanted.action,
                "start_time": wanted.start_time,
                "end_time": wanted.end_time,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


async def actor_names(
    conn: FleetConnection, tenant_id: UUID, actors: Sequence[str]
) -> dict[str, str]:
    """What people and API keys are called, by the ids in the log; of those that are left."""
    cursor = await conn.execute(
        "select user_id::text, email from user_account"
        "  where tenant_id = %(tenant_id)s and user_id::text = any(%(actors)s)"
        " union all select key_id::text, name from api_key"
        "  where tenant_id = %(tenant_id)s and key_id::text = any(%(actors)s)",
        {"tenant_id": tenant_id, "actors": list(actors)},
    )
    return dict(await cursor.fetchall())
