"""SQL of agents and their versions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True)
class AgentRow:
    """An agent with its draft and its published settings, both as `AgentConfig.to_json`."""

    agent_id: UUID
    draft: dict[str, Any]
    published: dict[str, Any] | None
    published_version: int
    revision: int
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class AgentVersionRow:
    """One published version."""

    agent_id: UUID
    version: int
    config: dict[str, Any]
    publisher: str
    create_time: datetime


async def insert_agent(
    conn: FleetConnection, tenant_id: UUID, agent_id: UUID, draft: dict[str, Any]
) -> bool:
    """Adds an agent that is not published; False when the tenant has one of this id."""
    now = conn.now()
    result = await conn.execute(
        "insert into agent (tenant_id, agent_id, draft, create_time, update_time)"
        " values (%s, %s, %s, %s, %s) on conflict do nothing",
        [tenant_id, agent_id, Jsonb(draft), now, now],
    )
    return result.rowcount == 1


async def get_agent(conn: FleetConnection, tenant_id: UUID, agent_id: UUID) -> AgentRow | None:
    """One agent."""
    async with conn.cursor(row_factory=class_row(AgentRow)) as cursor:
        await cursor.execute(
            "select agent.agent_id, draft, config as published, published_version, revision,"
            "  agent.create_time, update_time"
            " from agent left join agent_version"
            "  on agent_version.tenant_id = agent.tenant_id"
            "  and agent_version.agent_id = agent.agent_id and version = published_version"
            " where agent.tenant_id = %s and agent.agent_id = %s",
            [tenant_id, agent_id],
        )
        return await cursor.fetchone()


async def list_agents(conn: FleetConnection, tenant_id: UUID) -> list[AgentRow]:
    """All agents of the tenant, oldest first."""
    async with conn.cursor(row_factory=class_row(AgentRow)) as cursor:
        await cursor.execute(
            "select agent.agent_id, draft, config as published, published_version, revision,"
            "  agent.create_time, update_time"
            " from agent left join agent_version"
            "  on agent_version.tenant_id = agent.tenant_id"
            "  and agent_version.agent_id = agent.agent_id and version = published_version"
            " where agent.tenant_id = %s order by agent.create_time, agent.agent_id limit 500",
            [tenant_id],
        )
        return await cursor.fetchall()


async def lock_agent(conn: FleetConnection, tenant_id: UUID, agent_id: UUID) -> bool:
    """Locks the agent until the transaction ends; False when there is none."""
    result = await conn.execute(
        "select 1 from agent where tenant_id = %s and agent_id = %s for no key update",
        [tenant_id, agent_id],
    )
    return result.rowcount == 1


async def update_draft(
    conn: FleetConnection, tenant_id: UUID, agent_id: UUID, draft: dict[str, Any]
) -> None:
    """Replaces the draft; a new revision."""
    await conn.execute(
        "update agent set draft = %s, revision = revision + 1, update_time = %s"
        " where tenant_id = %s and agent_id = %s",
        [Jsonb(draft), conn.now(), tenant_id, agent_id],
    )


async def publish_version(
    conn: FleetConnection,
    tenant_id: UUID,
    agent_id: UUID,
    config: dict[str, Any],
    publisher: str,
) -> int:
    """Makes `config` the next version, and that the published one; returns its number."""
    result = await conn.execute(
        "insert into agent_version (tenant_id, agent_id, version, config, publisher, create_time)"
        " select tenant_id, agent_id, published_version + 1, %s, %s, %s from agent"
        " where tenant_id = %s and agent_id = %s returning version",
        [Jsonb(config), publisher, conn.now(), tenant_id, agent_id],
    )
    row = await result.fetchone()
    if row is None:
        raise LookupError("the agent was locked before")
    await conn.execute(
        "update agent set published_version = %s, revision = revision + 1, update_time = %s"
        " where tenant_id = %s and agent_id = %s",
        [row[0], conn.now(), tenant_id, agent_id],
    )
    return row[0]


async def get_version(
    conn: FleetConnection, tenant_id: UUID, agent_id: UUID, version: int
) -> AgentVersionRow | None:
    """One version."""
    async with conn.cursor(row_factory=class_row(AgentVersionRow)) as cursor:
        await cursor.execute(
            "select agent_id, version, config, publisher, create_time from agent_version"
            " where tenant_id = %s and agent_id = %s and version = %s",
            [tenant_id, agent_id, version],
        )
        return await cursor.fetchone()


async def list_versions(
    conn: FleetConnection, tenant_id: UUID, agent_id: UUID
) -> list[AgentVersionRow]:
    """The versions of an agent, newest first, at most the last 500."""
    async with conn.cursor(row_factory=class_row(AgentVersionRow)) as cursor:
        await cursor.execute(
            "select agent_id, version, config, publisher, create_time from agent_version"
            " where tenant_id = %s and agent_id = %s order by version desc limit 500",
            [tenant_id, agent_id],
        )
        return await cursor.fetchall()
