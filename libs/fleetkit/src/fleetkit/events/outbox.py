"""The outbox: events are written in the transaction that makes them true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

from google.protobuf.message import Message
from psycopg.types.json import Jsonb

from fleetkit import context
from fleetkit.events.envelope import cloud_event_headers, event_subject, to_body
from fleetkit.ids import new_id
from fleetkit.postgres.connection import FleetConnection
from fleetkit.postgres.database import Database

TOPIC = "outbox"
KEEP_DAYS = 30
# By which the relay that publishes is told of commits of other processes.
CHANNEL_OF: LiteralString = "select 'outbox_' || current_schema()"
TELL_RELAY: LiteralString = "select pg_notify('outbox_' || current_schema(), '')"


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An event that waits to be published."""

    id: int
    create_time: datetime
    event_id: UUID
    subject: str
    headers: dict[str, str]
    body: str


async def publish(conn: FleetConnection, event: Message, *, revision: int) -> UUID:
    """Writes `event` to the outbox in the transaction of `conn`; returns its id.

    `event` is a message of the service's own `events.proto`; `event_id`, `occur_time` (fleet
    clock) and `tenant_id` are filled in where they are empty, `revision` is set. It is published
    once the transaction is committed. ValueError when the event names another tenant than the
    transaction's.
    """
    row = outgoing(event, conn.tenant_id, conn.now(), revision=revision)
    await conn.execute(INSERT_EVENT, row)
    conn.signal(TOPIC)
    return row["event_id"]


# The parameters are those of `outgoing`, for whoever has the insert in a statement of their own:
# that also has to signal `TOPIC`.
INSERT_EVENT: LiteralString = (
    "insert into outbox (event_id, tenant_id, subject, type, headers, body, revision)"
    " values (%(event_id)s, %(event_tenant_id)s, %(subject)s, %(type)s, %(headers)s, %(body)s,"
    "  %(revision)s)"
)
# The same for many; the parameters are those of `many_outgoing`.
INSERT_EVENTS: LiteralString = (
    "insert into outbox (event_id, tenant_id, subject, type, headers, body, revision)"
    " select * from unnest(%(event_ids)s::uuid[], %(event_tenant_ids)s::uuid[],"
    "  %(subjects)s::text[], %(types)s::text[], %(headers)s::jsonb[], %(event_bodies)s::text[],"
    "  %(revisions)s::bigint[])"
)


def outgoing(
    event: Message, of_tenant: UUID | None, now: datetime, *, revision: int
) -> dict[str, Any]:
    """The parameters of `INSERT_EVENT`; fills in the event and raises as `publish` does."""
    event_id, tenant_id, occur_time = _complete(event, of_tenant, now, revision)
    event_type = event.DESCRIPTOR.full_name
    headers = cloud_event_headers(
        event_id=event_id, event_type=event_type, tenant_id=tenant_id, occur_time=occur_time
    )
    if (span := context.current().span) is not None:
        headers["traceparent"] = span.traceparent
    return {
        "event_id": event_id,
        "event_tenant_id": tenant_id,
        "subject": event_subject(event_type, str(tenant_id)),
        "type": event_type,
        "headers": Jsonb(headers),
        "body": to_body(event),
        "revision": revision,
    }


def many_outgoing(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The parameters of `INSERT_EVENTS` from those of `outgoing`, in order."""
    return {
        "event_ids": [row["event_id"] for row in rows],
        "event_tenant_ids": [row["event_tenant_id"] for row in rows],
        "subjects": [row["subject"] for row in rows],
        "types": [row["type"] for row in rows],
        "headers": [row["headers"] for row in rows],
        "event_bodies": [row["body"] for row in rows],
        "revisions": [row["revision"] for row in rows],
    }


async def replay(db: Database, since: datetime) -> int:
    """Marks the events since then (real time) to be published again by the relay.

    Consumers that have handled them drop them. Returns how many. Events older than 30 days are
    left out even where they are still kept: consumers may have forgotten that they had them.
    """
    async with db.fleet() as conn:
        marked = await conn.execute(
            "update outbox set publish_time = null"
            " where create_time >= greatest(%s, now() - make_interval(days => %s))"
            " and publish_time is not null",
            [since, KEEP_DAYS],
        )
        conn.signal(TOPIC)
        await conn.execute(TELL_RELAY)
        return marked.rowcount


async def unpublished(db: Database, limit: int) -> list[OutboxRow]:
    """The next events to publish, in the order in which they were written."""
    rows = await db.fleet_call(
        "select id, create_time, event_id, subject, headers, body from outbox"
        " where publish_time is null order by id limit %(limit)s",
        {"limit": limit},
    )
    return [OutboxRow(*row) for row in rows]


async def count_unpublished(db: Database) -> int:
    """How many events wait to be published."""
    ((count,),) = await db.fleet_call("select count(*) from outbox where publish_time is null", {})
    return count


async def mark_published(db: Database, rows: Sequence[OutboxRow]) -> None:
    """Records that the stream has these events."""
    await db.fleet_call(
        "update outbox set publish_time = now()"
        " where id = any(%(ids)s) and create_time >= %(from)s",
        {"ids": [row.id for row in rows], "from": min(row.create_time for row in rows)},
    )


def _complete(
    event: Message, of_tenant: UUID | None, now: datetime, revision: int
) -> tuple[UUID, UUID, datetime]:
    """Fills in the fields that every event has, through its descriptor."""
    given = {field.name: value for field, value in event.ListFields()}
    event_id = UUID(given["event_id"]) if "event_id" in given else new_id()
    tenant_id = UUID(given["tenant_id"]) if "tenant_id" in given else of_tenant
    if tenant_id is None or tenant_id != of_tenant:
        raise ValueError("an event is of the tenant of its transaction")
    if "occur_time" not in given:
        getattr(event, "occur_time").FromDatetime(now)  # noqa: B009 - any event has it
    setattr(event, "event_id", str(event_id))  # noqa: B010
    setattr(event, "tenant_id", str(tenant_id))  # noqa: B010
    if "revision" in event.DESCRIPTOR.fields_by_name:
        setattr(event, "revision", revision)  # noqa: B010
    occur_time: datetime = getattr(event, "occur_time").ToDatetime(tzinfo=UTC)  # noqa: B009
    return event_id, tenant_id, occur_time
