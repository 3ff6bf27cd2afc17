"""Handling events: each once, in one transaction with the inbox row that says so."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from fleetkit.context import background
from fleetkit.events import tombstones
from fleetkit.events.envelope import EventMeta
from fleetkit.postgres.connection import FleetConnection
from fleetkit.postgres.database import Database

Handler = Callable[[FleetConnection, Any, EventMeta], Awaitable[None]]
Received = tuple[Message, EventMeta]


@dataclass(frozen=True, slots=True)
class Together:
    """A handler that is given all events that came together for it, in any order.

    `handle(conn, [(event, meta), …])` belongs to every type of event that the same object stands
    at. The ids of the events differ.
    """

    handle: Callable[[FleetConnection, Sequence[tuple[Any, EventMeta]]], Awaitable[None]]

    async def __call__(self, conn: FleetConnection, event: Any, meta: EventMeta) -> None:
        """Handles one event."""
        await self.handle(conn, [(event, meta)])


@dataclass(frozen=True, slots=True)
class EvenIfErased:
    """A handler that also gets events about tenants and visitors that were erased before."""

    handle: Handler

    async def __call__(self, conn: FleetConnection, event: Any, meta: EventMeta) -> None:
        """Handles the event."""
        await self.handle(conn, event, meta)


async def handle_all(
    db: Database, handlers: Mapping[str, Handler], received: Sequence[Received]
) -> int:
    """Handles events of one tenant in one transaction, each unless the inbox has it; how many.

    Everything the handlers write, the inbox rows and the removal of dead letters are committed
    together. An event about a tenant, visitor or conversation that was erased after it does
    nothing.
    """
    _, first = received[0]
    with background(first.tenant_id, traceparent=first.traceparent):
        async with db.tenant(first.tenant_id) as conn:
            fresh = await _receive(conn, first.tenant_id, [meta for _, meta in received])
            given = {meta.event_id: (event, meta) for event, meta in received}
            wanted = [given[event_id] for event_id in given if event_id in fresh]
            erased = await tombstones.of_the_erased(
                conn,
                first.tenant_id,
                [
                    (event, meta)
                    for event, meta in wanted
                    if not isinstance(handlers[meta.type], EvenIfErased)
                ],
            )
            wanted = [(event, meta) for event, meta in wanted if meta.event_id not in erased]
            await _handle(conn, handlers, wanted)
    return len(wanted)


async def _handle(
    conn: FleetConnection, handlers: Mapping[str, Handler], wanted: Sequence[Received]
) -> None:
    """One after the other, then those of each handler that takes many."""
    together: dict[int, tuple[Together, list[Received]]] = {}
    for event, meta in wanted:
        handler = handlers[meta.type]
        inner = handler.handle if isinstance(handler, EvenIfErased) else handler
        if isinstance(inner, Together):
            together.setdefault(id(inner), (inner, []))[1].append((event, meta))
            continue
        with background(meta.tenant_id, traceparent=meta.traceparent):
            await handler(conn, event, meta)
    for taking, events in together.values():
        await taking.handle(conn, events)


async def forget_old_receipts(db: Database, keep_days: int) -> int:
    """Deletes inbox rows older than that (see `upkeep`); returns how many."""
    async with db.fleet() as conn:
        deleted = await conn.execute(
            "delete from inbox where receive_time < now() - make_interval(days => %s)",
            [keep_days],
        )
        return deleted.rowcount


async def _receive(conn: FleetConnection, tenant_id: UUID, metas: Sequence[EventMeta]) -> set[UUID]:
    """Records the events and their tenant; the ids of those that were not recorded before.

    A second delivery at the same time waits here for the first one's transaction. A dead letter is
    one no more: in this transaction it is handled.
    """
    # In one order, so that two replicas with the same events don't wait for each other.
    ordered = sorted(metas, key=lambda meta: meta.event_id)
    ids = [meta.event_id for meta in ordered]
    inserted = await conn.execute(
        "with tenant as ("
        " insert into known_tenants (tenant_id) values (%(tenant_id)s) on conflict do nothing),"
        " handled as (delete from dead_letter"
        "  where tenant_id = %(tenant_id)s and event_id = any(%(ids)s))"
        " insert into inbox (event_id, tenant_id, subject)"
        " select event_id, %(tenant_id)s, subject"
        "  from unnest(%(ids)s::uuid[], %(subjects)s::text[]) given (event_id, subject)"
        " on conflict do nothing returning event_id",
        {
            "tenant_id": tenant_id,
            "ids": ids,
            "subjects": [meta.subject for meta in ordered],
        },
    )
    return {row[0] for row in await inserted.fetchall()}
