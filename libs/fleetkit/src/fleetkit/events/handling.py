"""Handling one event: once, in one transaction with the inbox row that says so."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from fleetkit.context import background
from fleetkit.events import tombstones
from fleetkit.events.envelope import EventMeta
from fleetkit.postgres.connection import FleetConnection
from fleetkit.postgres.database import Database

Handler = Callable[[FleetConnection, Any, EventMeta], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class EvenIfErased:
    """A handler that also gets events about tenants and visitors that were erased before."""

    handle: Handler

    async def __call__(self, conn: FleetConnection, event: Any, meta: EventMeta) -> None:
        """Handles the event."""
        await self.handle(conn, event, meta)


async def handle_once(db: Database, handler: Handler, event: Message, meta: EventMeta) -> bool:
    """Runs `handler` in a transaction of the event's tenant unless the inbox has the event.

    Everything the handler writes, the inbox row and the removal of a dead letter are committed
    together. An event about a tenant, visitor or conversation that was erased after it does
    nothing. Returns whether the handler ran.
    """
    with background(meta.tenant_id, traceparent=meta.traceparent):
        async with db.tenant(meta.tenant_id) as conn:
            if not await _receive(conn, meta):
                return False
            if not isinstance(handler, EvenIfErased) and await tombstones.is_of_the_erased(
                conn, meta.tenant_id, event, meta.occur_time
            ):
                return False
            await handler(conn, event, meta)
            await conn.execute(
                "delete from dead_letter where tenant_id = %s and event_id = %s",
                [meta.tenant_id, meta.event_id],
            )
    return True


async def forget_old_receipts(db: Database, keep_days: int) -> int:
    """Deletes inbox rows older than that (see `upkeep`); returns how many."""
    async with db.fleet() as conn:
        deleted = await conn.execute(
            "delete from inbox where receive_time < now() - make_interval(days => %s)",
            [keep_days],
        )
        return deleted.rowcount


async def _receive(conn: FleetConnection, meta: EventMeta) -> bool:
    """Records the event and its tenant; False when it was recorded before.

    A second delivery at the same time waits here for the first one's transaction.
    """
    inserted = await conn.execute(
        "with tenant as ("
        " insert into known_tenants (tenant_id) values (%(tenant_id)s) on conflict do nothing)"
        " insert into inbox (event_id, tenant_id, subject)"
        " values (%(event_id)s, %(tenant_id)s, %(subject)s) on conflict do nothing",
        {"event_id": meta.event_id, "tenant_id": meta.tenant_id, "subject": meta.subject},
    )
    return inserted.rowcount == 1
