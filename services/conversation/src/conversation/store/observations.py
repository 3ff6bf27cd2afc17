"""SQL of what shared screens say."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import Database, FleetConnection
from psycopg.rows import scalar_row


@dataclass(frozen=True, slots=True)
class Observation:
    """What a screen said when a frame was captured."""

    frame_id: UUID
    text: str
    capture_time: datetime


async def put_observation(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID, seen: Observation
) -> bool:
    """Makes it the latest; False, changing nothing, when a later one is known."""
    put = await conn.execute(
        "insert into observation (tenant_id, conversation_id, frame_id, text, capture_time,"
        " create_time) values (%s, %s, %s, %s, %s, %s)"
        " on conflict (tenant_id, conversation_id) do update set frame_id = excluded.frame_id,"
        " text = excluded.text, capture_time = excluded.capture_time,"
        " create_time = excluded.create_time"
        " where observation.capture_time <= excluded.capture_time",
        [tenant_id, conversation_id, seen.frame_id, seen.text, seen.capture_time, conn.now()],
    )
    return put.rowcount == 1


async def find_observation(
    db: Database, tenant_id: UUID, conversation_id: UUID, max_age_s: float
) -> str:
    """The text of the latest observation no older than `max_age_s`; "" without."""
    found = await db.read(
        tenant_id,
        scalar_row,
        "select text from observation"
        " where tenant_id = tenant.id and conversation_id = %(conversation_id)s"
        "  and create_time >= %(now)s - make_interval(secs => %(max_age_s)s)",
        {"conversation_id": conversation_id, "now": db.now(), "max_age_s": max_age_s},
    )
    return found[0] if found else ""


async def delete_observations(conn: FleetConnection, tenant_id: UUID, max_age_s: float) -> int:
    """Deletes what no turn uses any more; returns how many."""
    deleted = await conn.execute(
        "delete from observation where tenant_id = %s"
        " and create_time < %s - make_interval(secs => %s)",
        [tenant_id, conn.now(), max_age_s],
    )
    return deleted.rowcount
