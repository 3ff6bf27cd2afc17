"""What a service is composed of."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any

from nats.aio.client import Client

from fleetkit.blobs import Blobs
from fleetkit.bus import Bus
from fleetkit.clock import Clock
from fleetkit.config import FleetSettings
from fleetkit.erasure import Eraser, Erasure
from fleetkit.events import Consumer, Handler, Relay, dead_letters, upkeep
from fleetkit.health import Health
from fleetkit.http import HttpServer
from fleetkit.jobs import LEASE_S, JobHandler, JobRunner, OnDead
from fleetkit.logging import get_logger
from fleetkit.postgres import Database
from fleetkit.rpc.client import RpcClients
from fleetkit.rpc.keys import KeyRing
from fleetkit.rpc.server import RpcServer
from fleetkit.schedules import Schedules
from fleetkit.tasks import Tasks, Work

# A blob store that is away for a day loses nothing: tries at most five minutes apart.
_ERASURE_ATTEMPTS = 300

Command = Callable[[], Awaitable[None]]


class Runtime:
    """The parts of one process; `build(rt)` adds the service's own to them.

    Loops, consumers, jobs and servers that `build` adds start once it has returned.
    """

    def __init__(
        self,
        settings: FleetSettings,
        *,
        keyring: KeyRing,
        clock: Clock,
        db: Database,
        bus: Bus,
        health: Health,
        on_failure: Callable[[], None],
    ) -> None:
        self.settings: Any = settings
        self.clock = clock
        self.keyring = keyring
        self.db = db
        self.nats: Client = bus.client
        self.clients = RpcClients(settings, keyring, clock)
        self.server = RpcServer(settings, keyring, clock)
        self.health = health
        self.tasks = Tasks(on_failure)
        self.ports: dict[str, int] = {}
        self.commands: dict[str, Command] = {}
        self._blobs = Blobs(settings.blob_url) if settings.blob_url else None
        self._bus = bus
        self._http: list[HttpServer] = []
        self._schedules = Schedules(settings, clock, bus.client)
        self._waiting: list[tuple[Callable[[Work, str], None], Work, str]] = []
        self._started = False
        self._closing = AsyncExitStack()
        self._draining: list[Callable[[], Awaitable[None]]] = []

    @property
    def blobs(self) -> Blobs:
        """The blob store; ValueError when `blob_url` is not set."""
        if self._blobs is None:
            raise ValueError("FLEETDESK_BLOB_URL is not set")
        return self._blobs

    def consume(self, handlers: Mapping[str, Handler]) -> None:
        """Consumes events with `handlers`, an events.py's HANDLERS.

        Also adds the commands `dead-letters`, which lists them, and `redrive`, which handles them
        again.
        """
        consumer = Consumer(self.settings, self.db, self.nats, dict(handlers))
        self._run(self.tasks.run_forever, self._once_connected(consumer.run), "consumer")

        async def redrive() -> None:
            handled, dead = await consumer.redrive()
            get_logger().info("dead_letters_redriven", handled=handled, still_dead=dead)

        async def list_dead_letters() -> None:
            async for letter in dead_letters.waiting(self.db):
                sys.stdout.write(f"{dead_letters.line(letter)}\n")

        self.command("redrive", redrive)
        self.command("dead-letters", list_dead_letters)

    def schedule(self, name: str, every: timedelta, run: Command) -> None:
        """Runs `run` periodically on one replica (see `schedules`), and by hand as `run NAME`.

        It is idempotent, and first runs one period after the service was first started.
        """
        self._schedules.add(name, every, run)
        self.command(name, partial(self._schedules.run_by_hand, name))

    def run_jobs(
        self,
        handlers: Mapping[str, JobHandler],
        *,
        concurrency: int = 4,
        max_attempts: int = 8,
        on_dead: OnDead | None = None,
        lease_s: float = LEASE_S,
    ) -> JobRunner:
        """Runs durable jobs with `handlers` by kind; see `JobRunner`."""
        runner = JobRunner(
            self.db,
            self.clock,
            handlers,
            concurrency=concurrency,
            max_attempts=max_attempts,
            on_dead=on_dead,
            lease_s=lease_s,
        )
        self._run(self.tasks.run_forever, runner.run(), "jobs")
        return runner

    def background(self, work: Work, name: str) -> None:
        """Runs `work` beside the servers; when it raises, the process drains and ends non-zero."""
        self._run(self.tasks.run_once, work, name)

    def spawn(self, work: Work, name: str) -> asyncio.Task[None]:
        """Runs a piece of work that may outlive the request that began it; a drain waits for it.

        It inherits the call context of its starter. When it raises, that is logged, no more.
        """
        return self.tasks.spawn(work, name)

    def serve_http(self, app: Callable[..., Any], bind: str, **options: Any) -> None:
        """Serves an ASGI app with uvicorn, on `ports["http"]`; `options` are uvicorn's."""
        self._http.append(HttpServer(app, bind, self.settings.shutdown_grace_s, **options))

    def erase(self, erasure: Erasure) -> None:
        """Runs the jobs of erasures by the service's rules.

        Its events.py hears of them by `erasing(…)` and `finishing()`.
        """
        blobs = self.blobs if erasure.has_blobs else None
        eraser = Eraser(self.settings, self.db, self.nats, self.clock, erasure, blobs)
        self.run_jobs(eraser.handlers, concurrency=1, max_attempts=_ERASURE_ATTEMPTS)

    def command(self, name: str, run: Command) -> None:
        """Adds what `python -m <package> run NAME` runs by hand."""
        self.commands[name] = run

    def on_drain(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Calls `stop` when the drain begins, to end long streams within `shutdown_grace_s`."""
        self._draining.append(stop)

    def on_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Calls `close` after the drain and before the pools close; last added, first called."""
        self._closing.push_async_callback(close)

    async def start(self) -> None:
        """Starts the relay, what `build` added, and the servers; fills `ports`."""
        self.health.add_check("postgres", self._database_answers)
        self.health.add_check("nats", self._bus.is_connected, required=False)
        self._started = True
        self.tasks.run_once(self._bus.connect(), "nats_connect")
        relay = Relay(self.settings, self.db, self.nats)
        self.tasks.run_forever(self._once_connected(relay.run), "relay")
        self.tasks.run_forever(
            upkeep.keep_up_forever(self.db, self.settings.service), "outbox_upkeep"
        )
        if self._schedules.has_jobs:
            self.tasks.run_forever(self._once_connected(self._schedules.run), "schedules")
        waiting, self._waiting = self._waiting, []
        for start, work, name in waiting:
            start(work, name)
        if self.server.has_services:
            self.ports["grpc"] = await self.server.start()
        for http in self._http:
            self.ports["http"] = http.listen()
            self.tasks.run_forever(http.run(), "http")
            await http.wait_started()
        self.health.set_serving(True)

    async def drain(self) -> None:
        """Stops taking work, gives all that is in flight one grace period, ends all tasks."""
        self.health.set_serving(False)
        self.tasks.expect_ends()
        grace_s: float = self.settings.shutdown_grace_s
        until = time.monotonic() + grace_s
        stops = [self.server.stop(grace_s), *(http.stop() for http in self._http)]
        stops += [stop() for stop in self._draining]
        for result in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(result, Exception):
                # The rest is stopped all the same.
                get_logger().error("drain_step_failed", exc_info=result)
        for _, work, _ in self._waiting:
            work.close()
        await self.tasks.drain(max(until - time.monotonic(), 0.0))
        await self._closing.aclose()
        await self.clients.close()

    def _run(self, start: Callable[[Work, str], None], work: Work, name: str) -> None:
        if self._started:
            start(work, name)
        else:
            self._waiting.append((start, work, name))

    async def _once_connected(self, run: Callable[[], Awaitable[None]]) -> None:
        await self._bus.wait_connected()
        await run()

    async def _database_answers(self) -> bool:
        await self.db.ping()
        return True
