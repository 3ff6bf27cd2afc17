"""The relay: publishes the outbox to JetStream, in order, by one process at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats.errors
import psycopg
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import PubAck
from nats.js.errors import NoStreamResponseError, NotFoundError
from prometheus_client import Counter
from psycopg import sql

from fleetkit.config import FleetSettings
from fleetkit.errors import Unavailable
from fleetkit.events import outbox, streams
from fleetkit.events.outbox import OutboxRow
from fleetkit.logging import get_logger
from fleetkit.postgres.database import Database
from fleetkit.tasks import woken_within
from fleetkit.telemetry import counter

_LOCK = 72_617_003
_BATCH = 200
# Commits are told; this is for those of commands by hand, and what a lost connection kept.
_POLL_S = 5.0
_GATHER_S = 0.05
_LOCK_POLL_S = 1.0
_LOCK_CHECK_S = 5.0
_ACK_TIMEOUT_S = 5.0
_LONGEST_BACKOFF_S = 5.0


class Relay:
    """Publishes what is in the outbox for as long as it runs; `run` ends by cancellation only.

    An event is marked once the stream has it. A crash between the two publishes it again: the
    stream drops it within its duplicate window, consumers' inboxes for good.
    """

    def __init__(
        self, settings: FleetSettings, db: Database, client: Client, *, poll_s: float = _POLL_S
    ) -> None:
        self._settings = settings
        self._db = db
        self._js: JetStreamContext = client.jetstream(timeout=_ACK_TIMEOUT_S)
        self._poll_s = poll_s
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Looks for events now instead of at the next poll; commits that publish do it."""
        self._woken.set()

    async def run(self) -> None:
        """Publishes events as they come, over restarts of PostgreSQL and NATS."""
        stop_listening = self._db.listen(outbox.TOPIC, self.wake)
        backoff_s = 0.1
        try:
            while True:
                try:
                    async with self._elected() as lock:
                        backoff_s = 0.1
                        await self._publish_forever(lock)
                except Exception as error:  # noqa: BLE001 - the loop outlives whatever fails
                    _failures().labels(self._settings.service).inc()
                    get_logger().warning("relay_interrupted", exc_info=error)
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
        finally:
            stop_listening()

    @asynccontextmanager
    async def _elected(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Holds the lock of the service's relay, which dies with the connection.

        Who waits for it tells the one that holds it of this process's commits.
        """
        async with await psycopg.AsyncConnection.connect(
            self._settings.postgres_url.get_secret_value(),
            autocommit=True,
            connect_timeout=5,
            application_name=f"{self._settings.service}-relay",
        ) as conn:
            while not await _try_lock(conn):
                # A commit while the lock was tried is told, too: only what is told is forgotten.
                if await woken_within(self._woken, _LOCK_POLL_S):
                    self._woken.clear()
                    await conn.execute(outbox.TELL_RELAY)
                    # What is committed in the next moment is told together.
                    await asyncio.sleep(_GATHER_S)
            await conn.execute(sql.SQL("listen {}").format(sql.Identifier(await _channel(conn))))
            yield conn

    async def _publish_forever(self, lock: psycopg.AsyncConnection) -> None:
        await self._declare_stream()
        loop = asyncio.get_running_loop()
        next_check = loop.time()
        heard = False
        while True:
            if heard or loop.time() >= next_check:
                # Takes in what was told. Without its connection the lock is gone, and another relay
                # may be at work.
                await lock.execute("select 1")
                next_check = loop.time() + _LOCK_CHECK_S
            self._woken.clear()
            count = await self._publish_batch()
            if count == _BATCH:
                continue
            if count:
                # What is written in the next moment goes together.
                await asyncio.sleep(_GATHER_S)
            heard = await self._rest(lock)

    async def _declare_stream(self) -> None:
        await streams.declare_stream(
            self._js, self._settings.service, replicas=self._settings.nats_replicas
        )

    async def _rest(self, lock: psycopg.AsyncConnection) -> bool:
        """Until a process has committed an event, or for a while; whether another one told so."""
        heard = asyncio.Event()

        def hear() -> None:
            heard.set()
            self._woken.set()

        loop, socket = asyncio.get_running_loop(), lock.fileno()
        loop.add_reader(socket, hear)
        try:
            await woken_within(self._woken, self._poll_s)
        finally:
            loop.remove_reader(socket)
        return heard.is_set()

    async def _publish_batch(self) -> int:
        rows = await outbox.unpublished(self._db, _BATCH)
        if not rows:
            return 0
        published = await self._publish(rows)
        if published:
            await outbox.mark_published(self._db, published)
            _published().labels(self._settings.service).inc(len(published))
        if len(published) < len(rows):
            raise Unavailable("the stream did not take all events")
        return len(rows)

    async def _publish(self, rows: list[OutboxRow]) -> list[OutboxRow]:
        """Sends all rows without waiting in between; returns those that the stream has."""
        acks: list[asyncio.Future[PubAck]] = []
        try:
            for row in rows:
                acks.append(await self._send(row))  # noqa: PERF401 - keeps those before a failure
            await asyncio.wait(acks, timeout=_ACK_TIMEOUT_S)
        except nats.errors.Error as error:
            get_logger().warning("relay_publish_failed", exc_info=error)
        finally:
            for ack in acks:
                ack.cancel()
        if any(_is_streamless(ack) for ack in acks):
            await self._declare_stream()
        # strict=False: acks end where sending failed.
        return [row for row, ack in zip(rows, acks, strict=False) if _is_taken(ack)]

    async def _send(self, row: OutboxRow) -> asyncio.Future[PubAck]:
        return await self._js.publish_async(
            row.subject,
            row.body.encode(),
            wait_stall=_ACK_TIMEOUT_S,
            headers=dict(row.headers),
        )


async def _channel(conn: psycopg.AsyncConnection) -> str:
    row = await (await conn.execute(outbox.CHANNEL_OF)).fetchone()
    assert row is not None  # noqa: S101 - a select without a table returns its row
    return row[0]


async def _try_lock(conn: psycopg.AsyncConnection) -> bool:
    result = await conn.execute(
        "select pg_try_advisory_lock(%s, hashtext(current_schema()))", [_LOCK]
    )
    row = await result.fetchone()
    return bool(row and row[0])


def _is_taken(ack: asyncio.Future) -> bool:
    return ack.done() and not ack.cancelled() and ack.exception() is None


def _is_streamless(ack: asyncio.Future) -> bool:
    if not ack.done() or ack.cancelled():
        return False
    return isinstance(ack.exception(), NoStreamResponseError | NotFoundError)


def _published() -> Counter:
    return counter("fleetdesk_events_published_total", "Events published.", ("service",))


def _failures() -> Counter:
    return counter("fleetdesk_relay_failures_total", "Interruptions of the relay.", ("service",))
