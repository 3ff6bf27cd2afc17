"""The consumer: takes other services' events from JetStream and hands each to its handler once."""

import asyncio
import random
from collections.abc import Mapping
from functools import partial
from uuid import UUID

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from prometheus_client import Counter

from fleetkit.config import FleetSettings
from fleetkit.errors import FleetError, InvalidArgument, Unavailable
from fleetkit.events import dead_letters, streams
from fleetkit.events.dead_letters import DeadLetter
from fleetkit.events.deliveries import Intake, intake
from fleetkit.events.envelope import (
    event_subject,
    message_type,
    parse,
    stream_of,
    tenant_of_subject,
)
from fleetkit.events.handling import Handler, Received, handle_all
from fleetkit.events.lanes import Lanes
from fleetkit.logging import get_logger
from fleetkit.postgres.database import Database
from fleetkit.tasks import end
from fleetkit.telemetry import counter

_API_TIMEOUT_S = 5.0
_REDECLARE_S = 30.0
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 5.0
_FIRST_REDELIVERY_S = 1.0
_LONGEST_REDELIVERY_S = 60.0
# A dependency that is down is no fault of the event: about three hours of redeliveries.
_MAX_DELIVER_UNAVAILABLE = 200
_GATHER_S = 0.1


class Consumer:
    """Consumes events of other services; `run` ends by cancellation only.

    `handlers` maps the full name of an event's message to `async on_x(conn, event, meta)`, which
    runs inside the tenant's transaction; it must not call out. One durable per producer, named
    after the service, with exactly these subjects. Events of a tenant that come together are
    handled in one transaction, those of `concurrency` tenants at once; where it fails, each is
    handled alone. A handler that raises then is tried again after a growing delay, `max_deliver`
    times in all; then the event becomes a row in `dead_letter`.
    """

    def __init__(
        self,
        settings: FleetSettings,
        db: Database,
        client: Client,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int = 8,
        max_deliver: int = 8,
        redelivery_s: float = _FIRST_REDELIVERY_S,
        gather_s: float = _GATHER_S,
    ) -> None:
        self._service = settings.service
        self._ack_wait_s = settings.nats_ack_wait_s
        self._db = db
        self._client = client
        self._js: JetStreamContext = client.jetstream(timeout=_API_TIMEOUT_S)
        self._handlers = dict(handlers)
        self._concurrency = concurrency
        self._max_deliver = max_deliver
        self._redelivery_s = redelivery_s
        self._gather_s = gather_s
        for name in self._handlers:
            message_type(name)  # KeyError now rather than at the first event

    async def run(self) -> None:
        """Consumes over restarts of PostgreSQL and NATS, and before the producer's first start."""
        by_stream: dict[str, list[str]] = {}
        for name in self._handlers:
            by_stream.setdefault(stream_of(name), []).append(event_subject(name, "*"))
        loops = [
            asyncio.create_task(self._consume_forever(stream, sorted(subjects)))
            for stream, subjects in by_stream.items()
        ]
        try:
            await asyncio.gather(*loops)
        finally:
            # A task group would cancel each loop once only, which the NATS client may swallow.
            await end(loops)

    async def redrive(self) -> tuple[int, int]:
        """Handles the dead letters of every known tenant; returns (handled, still dead)."""
        handled = failed = 0
        async for letter in dead_letters.waiting(self._db):
            if await self._redrive_one(letter):
                handled += 1
            else:
                failed += 1
        return handled, failed

    async def _consume_forever(self, stream: str, subjects: list[str]) -> None:
        backoff_s = _FIRST_BACKOFF_S
        while True:
            try:
                durable = await streams.declare_durable(
                    self._js, stream, self._service, subjects, ack_wait_s=self._ack_wait_s
                )
                backoff_s = _FIRST_BACKOFF_S
                await self._consume(stream, durable)
            except Exception as error:  # noqa: BLE001 - the loop outlives whatever fails
                get_logger().info("consumer_waits", stream=stream, error=type(error).__name__)
                await asyncio.sleep(backoff_s * random.uniform(0.8, 1.2))  # noqa: S311
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)

    async def _consume(self, stream: str, durable: str) -> None:
        """Takes messages until half a minute passed without one.

        Then the durable is declared again: a server that lost its data has forgotten it.
        """
        loop = asyncio.get_running_loop()
        idle_since = loop.time()
        async with intake(self._client, stream, durable, self._ack_wait_s) as taken:
            lanes = Lanes(
                partial(self._take, taken), concurrency=self._concurrency, gather_s=self._gather_s
            )
            try:
                while taken.in_hand or loop.time() - idle_since < _REDECLARE_S:
                    for message in await taken.next():
                        idle_since = loop.time()
                        lanes.add(message)
            finally:
                await lanes.end()

    async def _take(self, taken: Intake, batch: list[Msg]) -> None:
        """Handles deliveries of one tenant and answers each; never raises but when cancelled.

        What comes again is handled alone: the others have no part in what ended it the last time.
        """
        fresh: list[Msg] = []
        for message in batch:
            if _deliveries(message) == 1:
                fresh.append(message)
            else:
                await self._take_alone(taken, message)
        if len(fresh) == 1:
            await self._take_alone(taken, fresh[0])
        elif fresh:
            await self._take_together(taken, fresh)

    async def _take_together(self, taken: Intake, batch: list[Msg]) -> None:
        try:
            await self._handle(batch)
        except Exception as error:  # noqa: BLE001 - the consumer loop, see the class
            get_logger().info("events_one_by_one", count=len(batch), error=describe(error))
            await asyncio.gather(*(self._take_alone(taken, message) for message in batch))
        else:
            for message in batch:
                await taken.ack(message)

    async def _take_alone(self, taken: Intake, message: Msg) -> None:
        try:
            await self._handle([message])
        except Exception as error:  # noqa: BLE001 - the consumer loop, see the class
            await self._refuse(taken, message, error)
        else:
            await taken.ack(message)

    async def _handle(self, batch: list[Msg]) -> None:
        ran = await handle_all(self._db, self._handlers, [_parsed(message) for message in batch])
        _consumed().labels(self._service, "handled").inc(ran)
        _consumed().labels(self._service, "duplicate").inc(len(batch) - ran)

    async def _refuse(self, taken: Intake, message: Msg, error: Exception) -> None:
        """Asks for another delivery later, or keeps the event as a dead letter."""
        deliveries = _deliveries(message)
        limit = _MAX_DELIVER_UNAVAILABLE if isinstance(error, Unavailable) else self._max_deliver
        get_logger().warning(
            "event_handler_failed",
            subject_type=_type_of(message),
            deliveries=deliveries,
            exc_info=error,
        )
        _consumed().labels(self._service, "failed").inc()
        if deliveries < limit and not _is_hopeless(error):
            await taken.nak(message, self._delay_s(deliveries))
            return
        try:
            await self._bury(message, error, deliveries)
        except Unavailable:
            await taken.nak(message, self._delay_s(deliveries))
        else:
            await taken.term(message)

    async def _bury(self, message: Msg, error: Exception, deliveries: int) -> None:
        tenant_id = tenant_of_subject(message.subject)
        event_id = _event_id(message)
        if tenant_id is not None and event_id is not None:
            await dead_letters.keep(
                self._db,
                tenant_id=tenant_id,
                event_id=event_id,
                subject=message.subject,
                headers=message.headers or {},
                body=message.data.decode("utf-8", "replace").replace("\0", "\ufffd"),
                deliveries=deliveries,
                error=describe(error),
            )
        _buried().labels(self._service).inc()
        get_logger().error(
            "event_dead_lettered",
            subject_type=_type_of(message),
            event_id=str(event_id),
            deliveries=deliveries,
            error=describe(error),
        )

    def _delay_s(self, deliveries: int) -> float:
        delay_s = min(self._redelivery_s * 2 ** (deliveries - 1), _LONGEST_REDELIVERY_S)
        return delay_s * random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, no secret

    async def _redrive_one(self, letter: DeadLetter) -> bool:
        try:
            received = parse(
                subject=letter.subject,
                headers=letter.headers,
                body=letter.body.encode(),
                deliveries=letter.deliveries + 1,
            )
            await handle_all(self._db, self._handlers, [received])
        except Exception as error:  # noqa: BLE001 - the rest may still be handled
            get_logger().warning(
                "dead_letter_failed_again", event_id=str(letter.event_id), exc_info=error
            )
            return False
        return True


def describe(error: BaseException) -> str:
    """The class and, of our own errors, the reason code; messages may quote a row."""
    name = type(error).__name__
    return f"{name}: {error.reason}" if isinstance(error, FleetError) else name


def _is_hopeless(error: Exception) -> bool:
    return isinstance(error, InvalidArgument) and error.reason in {
        "EVENT_MALFORMED",
        "EVENT_POISONOUS",
    }


def _parsed(message: Msg) -> Received:
    """The event; InvalidArgument when it is none, or never came to an answer."""
    deliveries = _deliveries(message)
    if deliveries > _MAX_DELIVER_UNAVAILABLE:
        # Handling it ends the process.
        raise InvalidArgument("handled too often without an end", reason="EVENT_POISONOUS")
    return parse(
        subject=message.subject,
        headers=message.headers or {},
        body=message.data,
        deliveries=deliveries,
    )


def _deliveries(message: Msg) -> int:
    return message.metadata.num_delivered or 1


def _type_of(message: Msg) -> str:
    return message.subject.rpartition(".")[0]


def _event_id(message: Msg) -> UUID | None:
    try:
        return UUID((message.headers or {}).get("ce-id", ""))
    except ValueError:
        return None


def _consumed() -> Counter:
    return counter("fleetdesk_events_consumed_total", "Events delivered.", ("service", "outcome"))


def _buried() -> Counter:
    return counter("fleetdesk_dead_letters_total", "Events given up.", ("service",))
