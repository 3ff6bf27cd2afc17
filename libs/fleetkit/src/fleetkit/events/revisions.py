"""Revisions: which event of an aggregate is the newest, whatever order they come in."""

from uuid import UUID

from fleetkit.events.envelope import EventMeta
from fleetkit.postgres.connection import FleetConnection


async def is_latest(conn: FleetConnection, meta: EventMeta, aggregate_id: UUID | str) -> bool:
    """Whether no event of this type with a higher revision came before, for the aggregate.

    For handlers that keep an aggregate's present state: they return where it is False. What is
    counted, such as a message that was completed, is counted in any order and needs no revision.
    Remembers the revision in the handler's transaction, and holds the aggregate's row in it, so
    that two events of one aggregate are handled one after the other.
    """
    updated = await conn.execute(
        "insert into revision_seen (tenant_id, type, aggregate_id, revision)"
        " values (%(tenant_id)s, %(type)s, %(aggregate_id)s, %(revision)s)"
        " on conflict (tenant_id, type, aggregate_id) do update"
        " set revision = excluded.revision where revision_seen.revision <= excluded.revision",
        {
            "tenant_id": meta.tenant_id,
            "type": meta.type,
            "aggregate_id": str(aggregate_id),
            "revision": meta.revision,
        },
    )
    return updated.rowcount == 1
