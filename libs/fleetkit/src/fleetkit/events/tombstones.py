"""Tombstones: hashes of erased ids, by which late events about them are known."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from google.protobuf.message import Message

from fleetkit.events.envelope import EventMeta
from fleetkit.postgres.connection import FleetConnection

# Fields by which an event names a person's doings.
_FIELDS = {"visitor_id": "visitor", "conversation_id": "conversation"}


async def keep(
    conn: FleetConnection, tenant_id: UUID, ids: Sequence[tuple[str, UUID]], erase_time: datetime
) -> None:
    """Records that these ids ("tenant", "visitor", "conversation") are erased. Idempotent."""
    await conn.execute(
        "insert into tombstone (tenant_id, kind, id_sha256, create_time)"
        " select %(tenant_id)s, kind, id_sha256, %(erase_time)s"
        " from unnest(%(kinds)s::text[], %(hashes)s::bytea[]) given (kind, id_sha256)"
        " on conflict (tenant_id, kind, id_sha256)"
        " do update set create_time = greatest(tombstone.create_time, excluded.create_time)",
        {
            "tenant_id": tenant_id,
            "erase_time": erase_time,
            "kinds": [kind for kind, _ in ids],
            "hashes": [_hash(one) for _, one in ids],
        },
    )


async def erased_ids(
    conn: FleetConnection, tenant_id: UUID, kind: str, ids: Iterable[UUID]
) -> set[UUID]:
    """Those of the ids ("visitor", "conversation") that were erased at any time."""
    by_hash = {_hash(one): one for one in ids}
    if not by_hash:
        return set()
    found = await conn.execute(
        "select id_sha256 from tombstone"
        " where tenant_id = %s and kind = %s and id_sha256 = any(%s)",
        [tenant_id, kind, list(by_hash)],
    )
    return {by_hash[row[0]] for row in await found.fetchall()}


async def is_any_erased(
    conn: FleetConnection, tenant_id: UUID, ids: Iterable[tuple[str, UUID]]
) -> bool:
    """Whether the tenant, or any of the ids ("visitor", "conversation"), was ever erased."""
    named = [*ids, ("tenant", tenant_id)]
    found = await conn.execute(
        "select exists (select from tombstone t"
        " join unnest(%(kinds)s::text[], %(hashes)s::bytea[]) given (kind, id_sha256)"
        "  on given.kind = t.kind and given.id_sha256 = t.id_sha256"
        " where t.tenant_id = %(tenant_id)s)",
        {
            "tenant_id": tenant_id,
            "kinds": [kind for kind, _ in named],
            "hashes": [_hash(one) for _, one in named],
        },
    )
    row = await found.fetchone()
    return bool(row and row[0])


async def of_the_erased(
    conn: FleetConnection, tenant_id: UUID, events: Sequence[tuple[Message, EventMeta]]
) -> set[UUID]:
    """The ids of events that tell of a tenant, visitor or conversation that was erased after them.

    For a tenant it does not matter when: nothing comes back. A visitor may: what happens after
    the erasure counts again.
    """
    if not events:
        return set()
    named = {meta.event_id: set(_named(event)) for event, meta in events}
    of_tenant = ("tenant", _hash(tenant_id))
    asked = sorted({of_tenant}.union(*named.values()))
    found = await conn.execute(
        "select t.kind, t.id_sha256, t.create_time from tombstone t"
        " join unnest(%(kinds)s::text[], %(hashes)s::bytea[]) given (kind, id_sha256)"
        "  on given.kind = t.kind and given.id_sha256 = t.id_sha256"
        " where t.tenant_id = %(tenant_id)s",
        {
            "tenant_id": tenant_id,
            "kinds": [kind for kind, _ in asked],
            "hashes": [sha256 for _, sha256 in asked],
        },
    )
    erased = {(kind, sha256): time for kind, sha256, time in await found.fetchall()}
    if of_tenant in erased:
        return set(named)
    return {
        meta.event_id
        for _, meta in events
        if any(one in erased and erased[one] >= meta.occur_time for one in named[meta.event_id])
    }


def _named(event: Message) -> Iterator[tuple[str, bytes]]:
    for field, value in event.ListFields():
        if (kind := _FIELDS.get(field.name)) is not None:
            yield kind, _hash(UUID(value))


def _hash(one: UUID) -> bytes:
    return hashlib.sha256(str(one).encode()).digest()
