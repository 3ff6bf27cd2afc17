"""Rows of widget settings, one for each agent."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class WidgetRow:
    """Where an agent's widget may stand, and the sealed secret that proves its visitors."""

    agent_id: UUID
    tenant_id: UUID
    allowed_origins: list[str]
    identity_secret: bytes | None
    secrets_key_id: str | None
    update_time: datetime


async def insert_widget(
    conn: FleetConnection, tenant_id: UUID, agent_id: UUID, update_time: datetime
) -> None:
    """Adds an agent's settings: no other origin, no secret. Nothing when they exist."""
    await conn.execute(
        "insert into widget (agent_id, tenant_id, update_time) values (%s, %s, %s)"
        " on conflict do nothing",
        [agent_id, tenant_id, update_time],
    )


async def widget(conn: FleetConnection, tenant_id: UUID, agent_id: UUID) -> WidgetRow | None:
    """An agent's settings."""
    async with conn.cursor(row_factory=class_row(WidgetRow)) as cursor:
        await cursor.execute(
            "select agent_id, tenant_id, allowed_origins, identity_secret, secrets_key_id,"
            " update_time from widget where tenant_id = %s and agent_id = %s",
            [tenant_id, agent_id],
        )
        return await cursor.fetchone()


async def widgets_sealed_otherwise(
    conn: FleetConnection, tenant_id: UUID, secrets_key_id: str
) -> list[WidgetRow]:
    """Settings whose secret is sealed with another key than this one."""
    async with conn.cursor(row_factory=class_row(WidgetRow)) as cursor:
        await cursor.execute(
            "select agent_id, tenant_id, allowed_origins, identity_secret, secrets_key_id,"
            " update_time from widget where tenant_id = %s and identity_secret is not null"
            " and secrets_key_id is distinct from %s for update",
            [tenant_id, secrets_key_id],
        )
        return await cursor.fetchall()


async def set_allowed_origins(
    conn: FleetConnection,
    tenant_id: UUID,
    agent_id: UUID,
    allowed_origins: list[str],
    update_time: datetime,
) -> bool:
    """Replaces the origins; False when there are no such settings."""
    changed = await conn.execute(
        "update widget set allowed_origins = %s, update_time = %s"
        " where tenant_id = %s and agent_id = %s",
        [allowed_origins, update_time, tenant_id, agent_id],
    )
    return changed.rowcount == 1


async def set_identity_secret(
    conn: FleetConnection,
    tenant_id: UUID,
    agent_id: UUID,
    sealed: bytes,
    secrets_key_id: str,
    update_time: datetime,
) -> bool:
    """Replaces the sealed secret; False when there are no such settings."""
    changed = await conn.execute(
        "update widget set identity_secret = %s, secrets_key_id = %s, update_time = %s"
        " where tenant_id = %s and agent_id = %s",
        [sealed, secrets_key_id, update_time, tenant_id, agent_id],
    )
    return changed.rowcount == 1
