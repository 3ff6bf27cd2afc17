"""SQL of vision-agent."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Names a sharing session; the tenant comes first everywhere."""

    tenant_id: UUID
    conversation_id: UUID
    session_id: UUID


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A row of `frame_session`."""

    session_id: UUID
    start_time: datetime
    last_time: datetime
    ignored_count: int
    superseded_count: int
    read_count: int


@dataclass(frozen=True, slots=True)
class CountRow:
    """A row of `frame_count`."""

    session_id: UUID
    content_type: str
    captured_count: int
    kept_count: int


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """A row of `type_transition`."""

    session_id: UUID
    from_type: str
    to_type: str
    count: int


async def add_to_session(
    conn: FleetConnection,
    key: SessionKey,
    last_time: datetime,
    ignored: int,
    superseded: int,
    read: int,
) -> None:
    """Adds to a session's sums; the session begins with the first of them."""
    await conn.execute(
        "insert into frame_session as known (tenant_id, conversation_id, session_id, start_time,"
        " last_time, ignored_count, superseded_count, read_count)"
        " values (%(tenant_id)s, %(conversation_id)s, %(session_id)s, %(last_time)s,"
        " %(last_time)s, %(ignored)s, %(superseded)s, %(read)s)"
        " on conflict (tenant_id, conversation_id, session_id) do update set"
        " last_time = greatest(known.last_time, excluded.last_time),"
        " ignored_count = known.ignored_count + excluded.ignored_count,"
        " superseded_count = known.superseded_count + excluded.superseded_count,"
        " read_count = known.read_count + excluded.read_count",
        {
            "tenant_id": key.tenant_id,
            "conversation_id": key.conversation_id,
            "session_id": key.session_id,
            "last_time": last_time,
            "ignored": ignored,
            "superseded": superseded,
            "read": read,
        },
    )


async def add_counts(
    conn: FleetConnection, key: SessionKey, content_type: str, captured: int, kept: int
) -> None:
    """Adds to the frames of one type."""
    await conn.execute(
        "insert into frame_count as known (tenant_id, conversation_id, session_id, content_type,"
        " captured_count, kept_count) values (%s, %s, %s, %s, %s, %s)"
        " on conflict (tenant_id, conversation_id, session_id, content_type) do update set"
        " captured_count = known.captured_count + excluded.captured_count,"
        " kept_count = known.kept_count + excluded.kept_count",
        [key.tenant_id, key.conversation_id, key.session_id, content_type, captured, kept],
    )


async def add_transitions(
    conn: FleetConnection, key: SessionKey, from_type: str, to_type: str, count: int
) -> None:
    """Adds to how often a session went from one type to another."""
    await conn.execute(
        "insert into type_transition as known (tenant_id, conversation_id, session_id, from_type,"
        " to_type, count) values (%s, %s, %s, %s, %s, %s)"
        " on conflict (tenant_id, conversation_id, session_id, from_type, to_type) do update set"
        " count = known.count + excluded.count",
        [key.tenant_id, key.conversation_id, key.session_id, from_type, to_type, count],
    )


async def list_sessions(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID, limit: int
) -> list[SessionRow]:
    """The sessions of a conversation, oldest first."""
    async with conn.cursor(row_factory=class_row(SessionRow)) as cursor:
        await cursor.execute(
            "select session_id, start_time, last_time, ignored_count, superseded_count, read_count"
            " from frame_session where tenant_id = %s and conversation_id = %s"
            " order by start_time, session_id limit %s",
            [tenant_id, conversation_id, limit],
        )
        return await cursor.fetchall()


async def list_counts(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID, session_ids: list[UUID]
) -> list[CountRow]:
    """The counts of these sessions by type."""
    async with conn.cursor(row_factory=class_row(CountRow)) as cursor:
        await cursor.execute(
            "select session_id, content_type, captured_count, kept_count from frame_count"
            " where tenant_id = %s and conversation_id = %s and session_id = any(%s)"
            " order by session_id, content_type",
            [tenant_id, conversation_id, session_ids],
        )
        return await cursor.fetchall()


async def list_transitions(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID, session_ids: list[UUID]
) -> list[TransitionRow]:
    """The transitions of these sessions."""
    async with conn.cursor(row_factory=class_row(TransitionRow)) as cursor:
        await cursor.execute(
            "select session_id, from_type, to_type, count from type_transition"
            " where tenant_id = %s and conversation_id = %s and session_id = any(%s)"
            " order by session_id, from_type, to_type",
            [tenant_id, conversation_id, session_ids],
        )
        return await cursor.fetchall()
