"""The two ends of the bus, a producer and a consumer, and what tests ask of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from fleetdesk.gateway.v1.events_pb2 import TenantCreated
from fleetkit.config import FleetSettings
from fleetkit.events import Consumer, EventMeta, Relay, publish
from fleetkit.ids import new_id
from fleetkit.postgres import Database, FleetConnection
from fleetkit.tasks import end
from nats.aio.client import Client

from harness.services import TestBus
from harness.waiting import eventually

TENANT_CREATED = "fleetdesk.gateway.v1.TenantCreated"


@dataclass(frozen=True, slots=True)
class Side:
    """One end of the bus: a service's settings, database and client."""

    settings: FleetSettings
    db: Database
    client: Client


@asynccontextmanager
async def running(*loops: Awaitable[None]) -> AsyncIterator[None]:
    """Runs relays and consumers inside the block."""
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        yield
    finally:
        # Once is not enough: what a loop waits for may swallow a cancellation.
        await end(tasks)
        failed = [task for task in tasks if not task.cancelled()]
        assert not failed, [task.exception() for task in failed]


def relay(side: Side, **options: Any) -> Awaitable[None]:
    return Relay(side.settings, side.db, side.client, **options).run()


def consuming(side: Side, handler: Any, **options: Any) -> Consumer:
    handlers = {TENANT_CREATED: handler}
    return Consumer(side.settings, side.db, side.client, handlers, **options)


async def write_note(conn: FleetConnection, event: TenantCreated, meta: EventMeta) -> None:
    """A handler whose effect can be counted."""
    await conn.execute(
        "insert into note (note_id, tenant_id, label) values (%s, %s, %s)",
        [new_id(), meta.tenant_id, event.plan_id],
    )


async def announce(side: Side, tenant_id: UUID, plan_id: str = "free") -> UUID:
    async with side.db.tenant(tenant_id) as conn:
        return await publish(conn, TenantCreated(plan_id=plan_id), revision=1)


async def labels(side: Side, tenant_id: UUID) -> list[str]:
    async with side.db.tenant(tenant_id) as conn:
        rows = await conn.execute(
            "select label from note where tenant_id = %s order by note_id", [tenant_id]
        )
        return [row[0] for row in await rows.fetchall()]


async def count(side: Side, table: str, tenant_id: UUID) -> int:
    queries: dict[str, LiteralString] = {
        "inbox": "select count(*) from inbox where tenant_id = %s",
        "transaction": "select count(distinct xmin::text) from inbox where tenant_id = %s",
        "dead_letter": "select count(*) from dead_letter where tenant_id = %s",
        "unpublished": (
            "select count(*) from outbox where tenant_id = %s and publish_time is null"
        ),
    }
    async with side.db.tenant(tenant_id) as conn:
        row = await (await conn.execute(queries[table], [tenant_id])).fetchone()
        return row[0] if row else 0


async def stream_messages(bus: TestBus) -> int:
    return (await bus.js.stream_info("FLEETDESK_GATEWAY")).state.messages


async def noted(side: Side, tenant_id: UUID, expected: list[str]) -> None:
    async def there() -> bool:
        return sorted(await labels(side, tenant_id)) == sorted(expected)

    await eventually(there, timeout_s=30)


async def buried(side: Side, tenant_id: UUID, expected: int) -> None:
    async def there() -> bool:
        return await count(side, "dead_letter", tenant_id) == expected

    await eventually(there, timeout_s=30)


async def acknowledged(bus: TestBus, expected: int) -> None:
    """Waits until the stream has delivered that many and waits for no answer."""

    async def done() -> bool:
        infos = await bus.js.consumers_info("FLEETDESK_GATEWAY")
        return any(
            info.num_ack_pending == 0
            and info.num_pending == 0
            and info.ack_floor is not None
            and info.ack_floor.stream_seq == expected
            for info in infos
        )

    await eventually(done, timeout_s=30)


async def emit_twice(bus: TestBus, tenant_id: UUID) -> None:
    """The same event twice in the stream."""
    await bus.emit(TenantCreated(plan_id="twice"), tenant_id)
    await emit_again(bus)


async def emit_again(bus: TestBus) -> None:
    """The first event of the stream once more, as after its duplicate window."""
    message = await bus.js.get_msg("FLEETDESK_GATEWAY", 1)
    headers = {k: v for k, v in (message.headers or {}).items() if k != "Nats-Msg-Id"}
    await bus.js.publish(message.subject or "", message.data or b"", headers=headers)


async def end_backends(side: Side) -> None:
    """Ends every connection of the side's role, as a restart of the server does."""
    url = side.settings.postgres_url.get_secret_value()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
            " and usename = current_user"
        )
