"""SQL of conversations and visitors.

`lock_conversation` comes first in every transaction that writes to a conversation: it puts the
writers of one conversation in order, and their events with them. `save_conversation` comes last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from fleetkit.events.outbox import INSERT_EVENTS, TOPIC, many_outgoing
from fleetkit.postgres import FleetConnection
from psycopg.rows import class_row

# Where a list goes on: after this update time and id.
Position = tuple[datetime, UUID]

_SAVE: LiteralString = (
    "with saved as ("  # noqa: S608 - made of literals only
    "  update conversation set status = %(status)s, handoff_reason = %(handoff_reason)s,"
    "   last_outcome = %(last_outcome)s, title = %(title)s, message_count = %(message_count)s,"
    "   revision = %(revision)s, update_time = %(update_time)s,"
    "   last_position = %(last_position)s, status_time = %(status_time)s,"
    "   taken_over_by = %(taken_over_by)s"
    "  where tenant_id = %(tenant_id)s and conversation_id = %(conversation_id)s),"
    " added as ("
    "  insert into turn_events (tenant_id, conversation_id, position, message_id, sequence,"
    "   event, create_time)"
    "  select %(tenant_id)s, %(conversation_id)s, %(position)s + number, message_id, sequence,"
    "   event, %(now)s"
    "  from unnest(%(message_ids)s::uuid[], %(sequences)s::int[], %(bodies)s::bytea[])"
    "   with ordinality as new (message_id, sequence, event, number)),"
    f" told as ({INSERT_EVENTS})"
    " select pg_notify('conversation_changed', %(note)s) where %(note)s::text is not null"
)


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation; enums are stored as lower-case names, "unspecified" for none.

    `agent_version` is None for a trial, which the draft answers.
    """

    conversation_id: UUID
    agent_id: UUID
    agent_version: int | None
    visitor_id: UUID
    status: str
    handoff_reason: str
    last_outcome: str
    message_count: int
    title: str
    last_position: int
    revision: int
    create_time: datetime
    update_time: datetime
    status_time: datetime | None
    taken_over_by: str

    @property
    def is_trial(self) -> bool:
        """Whether somebody tries a draft in it."""
        return self.agent_version is None


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Which conversations to list; "" and None for all.

    `filter` stands in the title or in the tenant's id of the visitor; the times are of the last
    change, the end not included.
    """

    status: str = ""
    outcome: str = ""
    agent_id: UUID | None = None
    visitor_id: UUID | None = None
    filter: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None


async def find_visitor(
    conn: FleetConnection, tenant_id: UUID, agent_id: UUID, external_id: str
) -> UUID | None:
    """The visitor of an agent that the tenant knows by this id."""
    result = await conn.execute(
        "select visitor_id from visitor"
        " where tenant_id = %s and agent_id = %s and external_id = %s",
        [tenant_id, agent_id, external_id],
    )
    row = await result.fetchone()
    return row[0] if row else None


async def insert_visitor(
    conn: FleetConnection,
    tenant_id: UUID,
    visitor_id: UUID,
    agent_id: UUID,
    external_id: str | None,
) -> bool:
    """Adds a visitor; False when another one has this external id by now."""
    result = await conn.execute(
        "insert into visitor (tenant_id, visitor_id, agent_id, external_id, create_time)"
        " values (%s, %s, %s, %s, %s) on conflict do nothing",
        [tenant_id, visitor_id, agent_id, external_id, conn.now()],
    )
    return result.rowcount == 1


async def insert_conversation(
    conn: FleetConnection,
    tenant_id: UUID,
    conversation_id: UUID,
    agent_id: UUID,
    agent_version: int | None,
    visitor_id: UUID,
) -> None:
    """Adds a conversation without messages; a trial without a version."""
    now = conn.now()
    await conn.execute(
        "insert into conversation (tenant_id, conversation_id, agent_id, agent_version,"
        "  visitor_id, create_time, update_time) values (%s, %s, %s, %s, %s, %s, %s)",
        [tenant_id, conversation_id, agent_id, agent_version, visitor_id, now, now],
    )


async def get_conversation(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID
) -> ConversationRow | None:
    """One conversation, as it is now."""
    async with conn.cursor(row_factory=class_row(ConversationRow)) as cursor:
        await cursor.execute(
            "select conversation_id, agent_id, agent_version, visitor_id, status, handoff_reason,"
            "  last_outcome, message_count, title, last_position, revision, create_time,"
            "  update_time, status_time, taken_over_by"
            " from conversation where tenant_id = %s and conversation_id = %s",
            [tenant_id, conversation_id],
        )
        return await cursor.fetchone()


async def lock_conversation(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID
) -> ConversationRow | None:
    """The conversation, locked against other writers until the transaction ends."""
    async with conn.cursor(row_factory=class_row(ConversationRow)) as cursor:
        await cursor.execute(
            "select conversation_id, agent_id, agent_version, visitor_id, status, handoff_reason,"
            "  last_outcome, message_count, title, last_position, revision, create_time,"
            "  update_time, status_time, taken_over_by"
            " from conversation where tenant_id = %s and conversation_id = %s"
            " for no key update",
            [tenant_id, conversation_id],
        )
        return await cursor.fetchone()


async def save_conversation(
    conn: FleetConnection,
    tenant_id: UUID,
    row: ConversationRow,
    events: Sequence[tuple[UUID, int, bytes]],
    told: Sequence[Mapping[str, Any]],
) -> None:
    """Writes a locked conversation as it is now, with all that it says, in one statement.

    `events` are what listeners see, (message_id, sequence, event) in order: they stand after
    `row.last_position`, and listeners elsewhere are notified once this is committed. `told` are
    the bus's events, as `outgoing` makes them.
    """
    last_position = row.last_position + len(events)
    await conn.execute(
        _SAVE,
        {
            **asdict(row),
            **many_outgoing(told),
            "tenant_id": tenant_id,
            "position": row.last_position,
            "last_position": last_position,
            "note": f"{row.conversation_id}:{last_position}" if events else None,
            "message_ids": [event[0] for event in events],
            "sequences": [event[1] for event in events],
            "bodies": [event[2] for event in events],
            "now": conn.now(),
        },
    )
    if told:
        conn.signal(TOPIC)


# Index-ordered, and of these alone the filter is looked for: titles are behind row-level security,
# which keeps any index of words from being used.
_WANTED: LiteralString = (
    "select conversation_id, agent_id, agent_version, visitor_id, status, handoff_reason,"
    "  last_outcome, message_count, title, last_position, revision, create_time,"
    "  update_time, status_time, taken_over_by"
    " from conversation where tenant_id = %(tenant_id)s and agent_version is not null"
    "  and (%(status)s = '' or status = %(status)s)"
    "  and (%(outcome)s = '' or last_outcome = %(outcome)s)"
    "  and (%(agent_id)s::uuid is null or agent_id = %(agent_id)s)"
    "  and (%(visitor_id)s::uuid is null or visitor_id = %(visitor_id)s)"
    "  and (%(start_time)s::timestamptz is null or update_time >= %(start_time)s)"
    "  and (%(end_time)s::timestamptz is null or update_time < %(end_time)s)"
    "  and (%(after_time)s::timestamptz is null"
    "    or (update_time, conversation_id) < (%(after_time)s, %(after_id)s::uuid))"
    " order by update_time desc, conversation_id desc"
)
_FILTERED: LiteralString = (
    f"select wanted.* from ({_WANTED} limit %(among)s) wanted"  # noqa: S608 - made of literals only
    " left join visitor on visitor.tenant_id = %(tenant_id)s"
    "  and visitor.visitor_id = wanted.visitor_id"
    " where strpos(lower(title), lower(%(filter)s)) > 0"
    "  or strpos(lower(external_id), lower(%(filter)s)) > 0"
    " order by wanted.update_time desc, wanted.conversation_id desc limit %(limit)s"
)


async def list_conversations(
    conn: FleetConnection,
    tenant_id: UUID,
    wanted: ConversationFilter,
    after: Position | None,
    limit: int,
    among: int,
) -> list[ConversationRow]:
    """Conversations but for trials, last changed first, those after `after`.

    A filter is looked for in the first `among` of those that are otherwise wanted.
    """
    parameters = _parameters(tenant_id, wanted, after) | {"limit": limit, "among": among}
    statement = _FILTERED if wanted.filter else _WANTED + " limit %(limit)s"
    async with conn.cursor(row_factory=class_row(ConversationRow)) as cursor:
        await cursor.execute(statement, parameters)
        return await cursor.fetchall()


async def last_among(
    conn: FleetConnection,
    tenant_id: UUID,
    wanted: ConversationFilter,
    after: Position | None,
    among: int,
) -> Position | None:
    """Where the first `among` of those wanted but for the filter end; None when all are looked at.

    The same order and filter as the list's.
    """
    parameters = _parameters(tenant_id, wanted, after) | {"skipped": among - 1}
    async with conn.cursor(row_factory=class_row(ConversationRow)) as cursor:
        await cursor.execute(_WANTED + " offset %(skipped)s limit 2", parameters)
        rows = await cursor.fetchall()
    return (rows[0].update_time, rows[0].conversation_id) if len(rows) == 2 else None


async def external_ids(
    conn: FleetConnection, tenant_id: UUID, visitor_ids: Sequence[UUID]
) -> dict[UUID, str]:
    """The tenant's own ids of visitors that have one."""
    found = await conn.execute(
        "select visitor_id, external_id from visitor"
        " where tenant_id = %s and visitor_id = any(%s) and external_id is not null",
        [tenant_id, list(visitor_ids)],
    )
    return dict(await found.fetchall())


def _parameters(
    tenant_id: UUID, wanted: ConversationFilter, after: Position | None
) -> dict[str, Any]:
    after_time, after_id = after or (None, None)
    return asdict(wanted) | {
        "tenant_id": tenant_id,
        "after_time": after_time,
        "after_id": after_id,
    }
