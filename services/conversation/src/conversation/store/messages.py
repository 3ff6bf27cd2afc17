"""SQL of messages, and of the lease that the process answering one holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fleetkit.postgres import Database, FleetConnection
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message; enums are stored as lower-case names, "unspecified" for none.

    `number` orders the messages of a conversation. While a process answers, the text is not here
    but in the message's events. `in_memory`: whether the memory service has taken it.
    """

    message_id: UUID
    conversation_id: UUID
    number: int
    role: str
    status: str
    text: str
    request_id: str | None
    question_id: UUID | None
    author: str
    outcome: str
    handoff_reason: str
    confidence: float
    relevance: float
    tier: int
    model: str
    citations: list[dict[str, Any]]
    passages: list[dict[str, Any]]
    first_token_ms: int
    error_reason: str
    rating: int
    in_memory: bool
    create_time: datetime
    complete_time: datetime | None


@dataclass(frozen=True, slots=True)
class TranscriptRow:
    """A message with what its conversation and its events said at the same moment.

    `events` are the serialised events of a message that is being answered, None otherwise.
    """

    last_position: int
    events: list[bytes] | None
    message: MessageRow


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to add; `owner` and `lease_s` for one that is to be answered."""

    message_id: UUID
    role: str
    text: str = ""
    request_id: str | None = None
    question_id: UUID | None = None
    author: str = ""
    owner: UUID | None = None
    lease_s: float = 0.0


@dataclass(frozen=True, slots=True)
class MessageEnd:
    """How an answer ended."""

    status: str
    text: str
    outcome: str = "unspecified"
    handoff_reason: str = "unspecified"
    confidence: float = 0.0
    relevance: float = 0.0
    tier: int = 0
    model: str = ""
    citations: tuple[dict[str, Any], ...] = ()
    passages: tuple[dict[str, Any], ...] = ()
    first_token_ms: int = 0
    error_reason: str = ""


@dataclass(frozen=True, slots=True)
class InFlight:
    """The answer being written in a conversation; seconds are of real time."""

    message_id: UUID
    owner: UUID
    lease_left_s: float


async def insert_messages(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID, new: Sequence[NewMessage]
) -> list[MessageRow]:
    """Adds the next messages of a locked conversation: `answering` with an owner, else whole.

    UniqueViolation when a request_id is known, or another message is `answering`.
    """
    async with conn.cursor(row_factory=class_row(MessageRow)) as cursor:
        await cursor.execute(
            "insert into message (tenant_id, message_id, conversation_id, number, role, status,"
            "  text, request_id, question_id, author, owner, lease_until, create_time,"
            "  complete_time)"
            " select %(tenant_id)s, new.message_id, %(conversation_id)s, last.number + new.place,"
            "  new.role, case when new.owner is null then 'completed' else 'answering' end,"
            "  new.text, new.request_id, new.question_id, new.author, new.owner,"
            "  case when new.owner is not null"
            "   then clock_timestamp() + make_interval(secs => new.lease_s) end,"
            "  %(now)s, case when new.owner is null then %(now)s end"
            " from (select coalesce(max(number), 0) as number from message"
            "   where tenant_id = %(tenant_id)s and conversation_id = %(conversation_id)s) last,"
            "  unnest(%(message_ids)s::uuid[], %(roles)s::text[], %(texts)s::text[],"
            "   %(request_ids)s::text[], %(question_ids)s::uuid[], %(authors)s::text[],"
            "   %(owners)s::uuid[], %(leases_s)s::float8[]) with ordinality"
            "   as new (message_id, role, text, request_id, question_id, author, owner, lease_s,"
            "    place)"
            " order by new.place"
            " returning message_id, conversation_id, number, role, status, text, request_id,"
            "  question_id, author, outcome, handoff_reason, confidence, relevance, tier, model,"
            "  citations, passages, first_token_ms, error_reason, rating, in_memory, create_time,"
            "  complete_time",
            {
                "tenant_id": tenant_id,
                "conversation_id": conversation_id,
                "message_ids": [each.message_id for each in new],
                "roles": [each.role for each in new],
                "texts": [each.text for each in new],
                "request_ids": [each.request_id for each in new],
                "question_ids": [each.question_id for each in new],
                "authors": [each.author for each in new],
                "owners": [each.owner for each in new],
                "leases_s": [each.lease_s for each in new],
                "now": conn.now(),
            },
        )
        rows = await cursor.fetchall()
    return sorted(rows, key=lambda row: row.number)


async def get_message(
    conn: FleetConnection, tenant_id: UUID, message_id: UUID
) -> MessageRow | None:
    """One message."""
    async with conn.cursor(row_factory=class_row(MessageRow)) as cursor:
        await cursor.execute(
            "select message_id, conversation_id, number, role, status, text, request_id,"
            "  question_id, author, outcome, handoff_reason, confidence, relevance, tier, model,"
            "  citations, passages, first_token_ms, error_reason, rating, in_memory, create_time,"
            "  complete_time"
            " from message where tenant_id = %s and message_id = %s",
            [tenant_id, message_id],
        )
        return await cursor.fetchone()


async def find_request(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID, role: str, request_id: str
) -> MessageRow | None:
    """The message that this request stored, by its author's role."""
    async with conn.cursor(row_factory=class_row(MessageRow)) as cursor:
        await cursor.execute(
            "select message_id, conversation_id, number, role, status, text, request_id,"
            "  question_id, author, outcome, handoff_reason, confidence, relevance, tier, model,"
            "  citations, passages, first_token_ms, error_reason, rating, in_memory, create_time,"
            "  complete_time"
            " from message where tenant_id = %s and conversation_id = %s and role = %s"
            "  and request_id = %s",
            [tenant_id, conversation_id, role, request_id],
        )
        return await cursor.fetchone()


async def find_answer(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID, question_id: UUID
) -> MessageRow | None:
    """The agent's message that answers a question."""
    async with conn.cursor(row_factory=class_row(MessageRow)) as cursor:
        await cursor.execute(
            "select message_id, conversation_id, number, role, status, text, request_id,"
            "  question_id, author, outcome, handoff_reason, confidence, relevance, tier, model,"
            "  citations, passages, first_token_ms, error_reason, rating, in_memory, create_time,"
            "  complete_time"
            " from message where tenant_id = %s and conversation_id = %s and question_id = %s",
            [tenant_id, conversation_id, question_id],
        )
        return await cursor.fetchone()


async def transcript(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID, limit: int
) -> list[TranscriptRow]:
    """The last messages, oldest first, all as of one moment: one statement, one snapshot."""
    async with conn.cursor() as cursor:
        await cursor.execute(
            "select conversation.last_position,"
            "  case when message.status = 'answering' then"
            "   array(select event from turn_events"
            "    where turn_events.tenant_id = message.tenant_id"
            "     and turn_events.message_id = message.message_id order by sequence) end,"
            "  message_id, message.conversation_id, number, role, message.status, text,"
            "  request_id, question_id, author, outcome, message.handoff_reason, confidence,"
            "  relevance, tier, model, citations, passages, first_token_ms, error_reason, rating,"
            "  in_memory, message.create_time, complete_time"
            " from message join conversation on conversation.tenant_id = message.tenant_id"
            "  and conversation.conversation_id = message.conversation_id"
            " where message.tenant_id = %s and message.conversation_id = %s"
            " order by number desc limit %s",
            [tenant_id, conversation_id, limit],
        )
        rows = await cursor.fetchall()
    return [TranscriptRow(row[0], row[1], MessageRow(*row[2:])) for row in reversed(rows)]


async def recent_messages(
    db: Database, tenant_id: UUID, conversation_id: UUID, before: int, limit: int
) -> list[MessageRow]:
    """The last whole messages with a number below `before`, oldest first."""
    rows = await db.read(
        tenant_id,
        class_row(MessageRow),
        "select message_id, conversation_id, number, role, status, text, request_id,"
        "  question_id, author, outcome, handoff_reason, confidence, relevance, tier, model,"
        "  citations, passages, first_token_ms, error_reason, rating, in_memory, create_time,"
        "  complete_time"
        " from message where tenant_id = tenant.id and conversation_id = %(conversation_id)s"
        "  and number < %(before)s and status <> 'answering'"
        " order by number desc limit %(limit)s",
        {"conversation_id": conversation_id, "before": before, "limit": limit},
    )
    return rows[::-1]


async def set_rating(conn: FleetConnection, tenant_id: UUID, message_id: UUID, rating: int) -> None:
    """Stores the visitor's rating."""
    await conn.execute(
        "update message set rating = %s where tenant_id = %s and message_id = %s",
        [rating, tenant_id, message_id],
    )


async def in_flight(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID
) -> InFlight | None:
    """The answer being written in a conversation; its lease may have ended."""
    async with conn.cursor(row_factory=class_row(InFlight)) as cursor:
        await cursor.execute(
            "select message_id, owner,"
            "  extract(epoch from lease_until - clock_timestamp())::float8 as lease_left_s"
            " from message where tenant_id = %s and conversation_id = %s"
            "  and status = 'answering'",
            [tenant_id, conversation_id],
        )
        return await cursor.fetchone()


async def abandoned_in_flight(conn: FleetConnection, tenant_id: UUID, message_id: UUID) -> bool:
    """Whether this message is being answered by a process whose lease has ended."""
    result = await conn.execute(
        "select 1 from message where tenant_id = %s and message_id = %s"
        "  and status = 'answering' and lease_until < clock_timestamp()",
        [tenant_id, message_id],
    )
    return result.rowcount == 1


async def list_abandoned(conn: FleetConnection, tenant_id: UUID, limit: int) -> list[UUID]:
    """Answers whose lease has ended, longest ended first."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "select message_id from message where tenant_id = %s and status = 'answering'"
            "  and lease_until < clock_timestamp() order by lease_until limit %s",
            [tenant_id, limit],
        )
        return await cursor.fetchall()


async def extend_leases(
    conn: FleetConnection,
    tenant_id: UUID,
    owner: UUID,
    message_ids: list[UUID],
    lease_s: float,
) -> list[tuple[UUID, bool]]:
    """Extends the leases of those that `owner` still answers; whether each is to be stopped."""
    result = await conn.execute(
        "update message set lease_until = clock_timestamp() + make_interval(secs => %s)"
        " where tenant_id = %s and owner = %s and message_id = any(%s)"
        "  and status = 'answering'"
        " returning message_id, cancel_requested",
        [lease_s, tenant_id, owner, message_ids],
    )
    return await result.fetchall()


async def request_cancel(conn: FleetConnection, tenant_id: UUID, message_id: UUID) -> None:
    """Asks the process that answers to stop; it is notified once this is committed."""
    await conn.execute(
        "update message set cancel_requested = true"
        " where tenant_id = %s and message_id = %s and status = 'answering'",
        [tenant_id, message_id],
    )
    await conn.execute("select pg_notify('conversation_cancel', %s)", [str(message_id)])


async def end_message(
    conn: FleetConnection,
    tenant_id: UUID,
    message_id: UUID,
    end: MessageEnd,
    owner: UUID | None = None,
) -> MessageRow | None:
    """Closes an answer that is in flight, under the conversation's lock.

    None when it is not, or is not answered by `owner`, where that is given.
    """
    async with conn.cursor(row_factory=class_row(MessageRow)) as cursor:
        await cursor.execute(
            "update message set status = %(status)s, text = %(text)s, outcome = %(outcome)s,"
            "  handoff_reason = %(handoff_reason)s, confidence = %(confidence)s,"
            "  relevance = %(relevance)s, tier = %(tier)s, model = %(model)s,"
            "  citations = %(citations)s, passages = %(passages)s,"
            "  first_token_ms = %(first_token_ms)s, error_reason = %(error_reason)s,"
            "  owner = null, lease_until = null, complete_time = %(now)s"
            " where tenant_id = %(tenant_id)s and message_id = %(message_id)s"
            "  and status = 'answering'"
            "  and (%(owner)s::uuid is null or owner = %(owner)s)"
            " returning message_id, conversation_id, number, role, status, text, request_id,"
            "  question_id, author, outcome, handoff_reason, confidence, relevance, tier, model,"
            "  citations, passages, first_token_ms, error_reason, rating, in_memory, create_time,"
            "  complete_time",
            {
                "tenant_id": tenant_id,
                "message_id": message_id,
                "status": end.status,
                "text": end.text,
                "outcome": end.outcome,
                "handoff_reason": end.handoff_reason,
                "confidence": end.confidence,
                "relevance": end.relevance,
                "tier": end.tier,
                "model": end.model,
                "citations": Jsonb(list(end.citations)),
                "passages": Jsonb(list(end.passages)),
                "first_token_ms": end.first_token_ms,
                "error_reason": end.error_reason,
                "owner": owner,
                "now": conn.now(),
            },
        )
        return await cursor.fetchone()
