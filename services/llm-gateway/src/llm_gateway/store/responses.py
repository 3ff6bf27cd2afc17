"""SQL of llm-gateway: answers that may be given again."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row
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
    conn: FleetConnection, tenant_id: UUID, cache_key: bytes, now: datetime
) -> ResponseRow | None:
    """The answer to exactly this, unless it is too old."""
    async with conn.cursor(row_factory=class_row(ResponseRow)) as cursor:
        await cursor.execute(
            "select model, answer, citations, support, tier, saved_nanos, baseline_nanos"
            " from cached_response"
            " where tenant_id = %s and cache_key = %s and expire_time > %s",
            [tenant_id, cache_key, now],
        )
        return await cursor.fetchone()


async def keep_response(
    conn: FleetConnection,
    tenant_id: UUID,
    cache_key: bytes,
    response: ResponseRow,
    origin: Origin,
) -> None:
    """Keeps an answer in place of an older one, with what its settled call cost."""
    await conn.execute(
        "insert into cached_response (tenant_id, cache_key, create_time, expire_time, agent_id,"
        "  visitor_id, conversation_id, model, answer, citations, support, tier,"
        "  saved_nanos, baseline_nanos)"
        " select %(tenant_id)s, %(cache_key)s, %(create_time)s, %(expire_time)s, %(agent_id)s,"
        "  %(visitor_id)s, %(conversation_id)s, %(model)s, %(answer)s, %(citations)s,"
        "  %(support)s, %(tier)s, sum(amount_nanos),"
        "  sum(coalesce(baseline_nanos, amount_nanos + saved_nanos))"
        " from usage_entry where tenant_id = %(tenant_id)s and call_id = %(call_id)s"
        " having count(*) > 0"
        " on conflict (tenant_id, cache_key) do update set create_time = excluded.create_time,"
        "  expire_time = excluded.expire_time, agent_id = excluded.agent_id,"
        "  visitor_id = excluded.visitor_id, conversation_id = excluded.conversation_id,"
        "  model = excluded.model, answer = excluded.answer, citations = excluded.citations,"
        "  support = excluded.support, tier = excluded.tier, saved_nanos = excluded.saved_nanos,"
        "  baseline_nanos = excluded.baseline_nanos",
        {
            **asdict(response),
            **asdict(origin),
            "tenant_id": tenant_id,
            "cache_key": cache_key,
            "citations": Jsonb(response.citations),
        },
    )


async def trim_responses(conn: FleetConnection, tenant_id: UUID, most: int, now: datetime) -> None:
    """Deletes what is too old, and the oldest beyond `most`."""
    await conn.execute(
        "delete from cached_response where tenant_id = %(tenant_id)s and (expire_time <= %(now)s"
        "  or create_time < (select create_time from cached_response"
        "   where tenant_id = %(tenant_id)s order by create_time desc offset %(last)s limit 1))",
        {"tenant_id": tenant_id, "now": now, "last": most - 1},
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
