"""SQL of the places that are held for answers being written."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection


async def lock_reserving(conn: FleetConnection, tenant_id: UUID) -> None:
    """Lets one transaction after the other decide on the tenant's places."""
    await conn.execute(
        "select pg_advisory_xact_lock(hashtextextended('reservation' || %s, 0))", [str(tenant_id)]
    )


async def places_taken(
    conn: FleetConnection, tenant_id: UUID, start: datetime, end: datetime, now: datetime
) -> int:
    """Conversations that count in a period, and those that a place is held for at `now`.

    One statement, so that an answer that is being counted is seen on one side of it or the other.
    """
    counted = await conn.execute(
        "select (select count(*) from counted_conversation where tenant_id = %(tenant_id)s"
        "   and first_occur_time >= %(start)s and first_occur_time < %(end)s)"
        "  + (select count(distinct r.conversation_id) from reservation r"
        "   where r.tenant_id = %(tenant_id)s and r.expire_time > %(now)s"
        "   and not exists (select from counted_conversation c"
        "    where c.tenant_id = %(tenant_id)s and c.conversation_id = r.conversation_id))",
        {"tenant_id": tenant_id, "start": start, "end": end, "now": now},
    )
    row = await counted.fetchone()
    return row[0] if row else 0


async def is_held(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID, now: datetime
) -> bool:
    """Whether a place is held for the conversation."""
    found = await conn.execute(
        "select from reservation"
        " where tenant_id = %s and conversation_id = %s and expire_time > %s limit 1",
        [tenant_id, conversation_id, now],
    )
    return await found.fetchone() is not None


async def hold(
    conn: FleetConnection,
    tenant_id: UUID,
    message_id: UUID,
    conversation_id: UUID,
    expire_time: datetime,
) -> None:
    """Holds a place for an answer, once, unless the ledger has that answer by now."""
    await conn.execute(
        "insert into reservation (tenant_id, message_id, conversation_id, expire_time)"
        " select %(tenant_id)s, %(message_id)s, %(conversation_id)s, %(expire_time)s"
        " where not exists (select from usage_ledger"
        "  where tenant_id = %(tenant_id)s and message_id = %(message_id)s)"
        " on conflict do nothing",
        {
            "tenant_id": tenant_id,
            "message_id": message_id,
            "conversation_id": conversation_id,
            "expire_time": expire_time,
        },
    )


async def give_back(conn: FleetConnection, tenant_id: UUID, message_ids: Sequence[UUID]) -> None:
    """Gives answers' places back, where one is held."""
    await conn.execute(
        "delete from reservation where tenant_id = %s and message_id = any(%s)",
        [tenant_id, list(message_ids)],
    )


async def forget_expired(conn: FleetConnection, tenant_id: UUID, now: datetime) -> None:
    """Deletes the tenant's places that are held no longer."""
    await conn.execute(
        "delete from reservation where tenant_id = %s and expire_time <= %s", [tenant_id, now]
    )
