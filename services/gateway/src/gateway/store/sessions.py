"""Rows of signed-in sessions."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session with the person it belongs to. Times are real time."""

    session_id: UUID
    user_id: UUID
    email: str
    role: str
    verified: bool
    company: str
    last_used_time: datetime
    expire_time: datetime


async def insert_session(
    conn: FleetConnection,
    tenant_id: UUID,
    session_id: UUID,
    user_id: UUID,
    token_sha256: bytes,
    expire_time: datetime,
) -> None:
    """Adds a session."""
    await conn.execute(
        "insert into session (session_id, tenant_id, user_id, token_sha256, expire_time)"
        " values (%s, %s, %s, %s, %s)",
        [session_id, tenant_id, user_id, token_sha256, expire_time],
    )


async def session(conn: FleetConnection, tenant_id: UUID, session_id: UUID) -> SessionRow | None:
    """A session by id, whether or not it has expired."""
    async with conn.cursor(row_factory=class_row(SessionRow)) as cursor:
        await cursor.execute(
            "select session_id, user_id, email, role, verify_time is not null as verified,"
            " company, last_used_time, expire_time"
            " from session join user_account using (tenant_id, user_id)"
            " join tenant using (tenant_id)"
            " where tenant_id = %s and session_id = %s",
            [tenant_id, session_id],
        )
        return await cursor.fetchone()


async def touch_session(conn: FleetConnection, tenant_id: UUID, session_id: UUID) -> None:
    """Records that the session is in use."""
    await conn.execute(
        "update session set last_used_time = now() where tenant_id = %s and session_id = %s",
        [tenant_id, session_id],
    )


async def delete_session(conn: FleetConnection, tenant_id: UUID, session_id: UUID) -> None:
    """Ends a session."""
    await conn.execute(
        "delete from session where tenant_id = %s and session_id = %s", [tenant_id, session_id]
    )


async def session_hashes(conn: FleetConnection, tenant_id: UUID, user_id: UUID) -> list[bytes]:
    """Hashes of the tokens of a person's sessions."""
    found = await conn.execute(
        "select token_sha256 from session where tenant_id = %s and user_id = %s",
        [tenant_id, user_id],
    )
    return [row[0] for row in await found.fetchall()]


async def delete_ended_sessions(
    conn: FleetConnection, tenant_id: UUID, idle_since: datetime
) -> list[bytes]:
    """Removes sessions that expired, or are unused since then; returns their tokens' hashes."""
    ended = await conn.execute(
        "delete from session where tenant_id = %s and (expire_time < now() or last_used_time < %s)"
        " returning token_sha256",
        [tenant_id, idle_since],
    )
    return [row[0] for row in await ended.fetchall()]
