"""SQL of llm-gateway: answers that may be given again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRow:
    """What a row of `cached_response` gives again; the amounts are the database's to find."""

    model: str
    answer: str
    citations: list[dict[str, Any]]
    support: float
    tier: int
    saved_nanos: int = 0
    baseline_nanos: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whose answer a row was first, and how long it may be given again."""

    call_id: UUID
    agent_id: UUID | None
    visitor_id: UUID | None
    conversation_id: UUID | None
    create_time: datetime
    expire_time: datetime


async def find_response(
    db: Database, tenant_id: UUID, cache_key: bytes, now: datetime
) -> ResponseRow | None:
    """The answer to exactly this, unless it is too old."""
    rows = await db.call(
        tenant_id,
        "select kept_response(%(tenant_id)s, %(cache_key)s, %(now)s) from tenant",
        {"tenant_id": tenant_id, "cache_key": cache_key, "now": now},
    )
    ((found,),) = rows
    return ResponseRow(**found) if found else None


async def keep_response(
    db: Database,
    tenant_id: UUID,
    cache_key: bytes,
    response: ResponseRow,
    origin: Origin,
    most: int,
) -> None:
    """Keeps an answer in place of an older one, with what its settled call cost.

    Deletes what is too old, and the oldest beyond `most`.
    """
    await db.call(
        tenant_id,
        "select keep_response(jsonb_populate_record(null::cached_response,"
        "   %(response)s || %(origin)s"
        "   || jsonb_build_object('tenant_id', tenant.id, 'cache_key', %(cache_key)s::bytea)),"
        "  %(call_id)s, %(most)s) from tenant",
        {
            "response": Jsonb(response, msgspec.json.encode),
            "origin": Jsonb(origin, msgspec.json.encode),
            "cache_key": cache_key,
            "call_id": origin.call_id,
            "most": most,
        },
    )


async def forget_responses(
    conn: FleetConnection, tenant_id: UUID, agent_id: UUID | None = None
) -> int:
    """Deletes an agent's answers, or all of the tenant's; returns how many."""
    deleted = await conn.execute(
        "delete from cached_response where tenant_id = %(tenant_id)s"
        " and (%(agent_id)s::uuid is null or agent_id = %(agent_id)s)",
        {"tenant_id": tenant_id, "agent_id": agent_id},
    )
    return deleted.rowcount
