"""Periodic work, driven by JetStream schedules: one replica runs each tick.

The server publishes `clock.tick.<service>.<job>` as often as `clock.schedule.<service>.<job>`
says; the replicas share one durable, so one of them takes the tick, and an advisory lock in
PostgreSQL keeps a second tick from running the job beside the first. The stream keeps one tick a
job: what was missed while nobody listened is one run, not many. A replica that dies while it runs
gives no answer, and another gets the tick again.

Schedules count real time. Where the fleet clock can be moved forward, a move past a multiple of a
job's period makes it tick at once, so that `make clock ADVANCE=24h` runs what is due by then.
"""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import nats.errors
import psycopg
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import BadRequestError, NotFoundError
from prometheus_client import Counter, Gauge

from fleetkit.clock import Clock
from fleetkit.config import FleetSettings
from fleetkit.errors import FailedPrecondition, Unavailable
from fleetkit.events import streams
from fleetkit.events.deliveries import answer, in_progress, next_delivery, unsubscribe
from fleetkit.logging import get_logger
from fleetkit.tasks import end
from fleetkit.telemetry import counter, gauge

_LOCK = 72_617_004
_API_TIMEOUT_S = 5.0
_REDECLARE_S = 30.0
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 5.0
_BUSY_DELAY_S = 10.0
_FIRST_RETRY_S = 2.0
_MAX_FAILURES = 5
_WRONG_LAST_SEQUENCE = 10071
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

Run = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A periodic job; `run` is idempotent and visits tenants one at a time."""

    name: str
    every: timedelta
    run: Run

    @property
    def rule(self) -> str:
        """The period as the server reads it."""
        return f"@every {int(self.every.total_seconds())}s"


class Schedules:
    """The periodic jobs of a service; `run` ends by cancellation only.

    A run that raises is tried again after a growing delay, five times in a row at most; then its
    next tick is waited for.
    """

    def __init__(
        self,
        settings: FleetSettings,
        clock: Clock,
        client: Client,
        *,
        busy_delay_s: float = _BUSY_DELAY_S,
        first_retry_s: float = _FIRST_RETRY_S,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._client = client
        self._js: JetStreamContext = client.jetstream(timeout=_API_TIMEOUT_S)
        self._busy_delay_s = busy_delay_s
        self._first_retry_s = first_retry_s
        self._jobs: dict[str, Scheduled] = {}
        self._failures: dict[str, int] = {}

    @property
    def has_jobs(self) -> bool:
        """Whether there is anything to run."""
        return bool(self._jobs)

    def add(self, name: str, every: timedelta, run: Run) -> None:
        """Adds a job before `run` starts; ValueError for a name or period that can't be."""
        if not _NAME.fullmatch(name) or name in self._jobs:
            raise ValueError(f"{name!r} can't name another job: lower case, digits, - and _")
        if every < timedelta(seconds=1) or every % timedelta(seconds=1):
            raise ValueError(f"{every} is no period: whole seconds, one at least")
        self._jobs[name] = Scheduled(name, every, run)

    async def run(self) -> None:
        """Declares the schedules and runs what ticks, over restarts of PostgreSQL and NATS."""
        loops = [asyncio.create_task(self._serve_forever())]
        if self._clock.can_be_advanced:
            loops.append(asyncio.create_task(self._follow_fleet_clock(self._clock.offset)))
        try:
            await asyncio.gather(*loops)
        finally:
            await end(loops)

    async def run_by_hand(self, name: str) -> None:
        """Runs a job now; FailedPrecondition when a replica is running it already."""
        async with self._alone(name) as is_alone:
            if not is_alone:
                raise FailedPrecondition(f"{name} runs already", reason="JOB_RUNS")
            await self._jobs[name].run()

    async def _serve_forever(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        while True:
            try:
                await streams.declare_clock(self._js, replicas=self._settings.nats_replicas)
                await self._declare_schedules()
                durable = await streams.declare_ticks(
                    self._js, self._settings.service, ack_wait_s=self._settings.nats_ack_wait_s
                )
                backoff_s = _FIRST_BACKOFF_S
                await self._take_ticks(durable)
            except Exception as error:  # noqa: BLE001 - the loop outlives whatever fails
                get_logger().info("schedules_wait", error=type(error).__name__)
                await asyncio.sleep(backoff_s * random.uniform(0.8, 1.2))  # noqa: S311
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)

    async def _declare_schedules(self) -> None:
        for job in self._jobs.values():
            await self._declare(job)
        wanted = {self._subject("schedule", name) for name in self._jobs}
        info = await self._js.stream_info(streams.CLOCK, self._subject("schedule", "*"))
        for left in set(info.state.subjects or {}) - wanted:
            # The schedule of a job that is no more: a message that soon expires takes its place.
            await self._js.publish(left, headers={Header.MSG_TTL: "1s"})

    async def _declare(self, job: Scheduled) -> None:
        """Publishes a schedule where there is none like it: a new one would start counting anew."""
        subject = self._subject("schedule", job.name)
        sequence = 0
        try:
            known = await self._js.get_last_msg(streams.CLOCK, subject, direct=True)
        except NotFoundError:
            pass
        else:
            if (known.headers or {}).get(Header.SCHEDULE) == job.rule:
                return
            sequence = known.seq or 0
        headers = {
            Header.SCHEDULE: job.rule,
            Header.SCHEDULE_TARGET: self._subject("tick", job.name),
            Header.EXPECTED_LAST_SUBJECT_SEQUENCE: str(sequence),
        }
        try:
            await self._js.publish(subject, headers={str(k.value): v for k, v in headers.items()})
        except BadRequestError as error:
            # Another replica was first.
            if error.err_code != _WRONG_LAST_SEQUENCE:
                raise

    async def _take_ticks(self, durable: str) -> None:
        """Takes ticks until half a minute passed without one; then all is declared again."""
        subscription = await self._js.pull_subscribe_bind(stream=streams.CLOCK, durable=durable)
        running: set[asyncio.Task[None]] = set()
        idle_since = time.monotonic()
        try:
            while running or time.monotonic() - idle_since < _REDECLARE_S:
                message = await next_delivery(subscription)
                if message is None:
                    continue
                idle_since = time.monotonic()
                task = asyncio.create_task(self._take(message))
                running.add(task)
                task.add_done_callback(running.discard)
        finally:
            await end(running)
            await unsubscribe(subscription)

    async def _take(self, message: Msg) -> None:
        """Runs the job of one tick and answers it; never raises but when cancelled."""
        name = message.subject.rpartition(".")[2]
        try:
            working = in_progress(message, self._settings.nats_ack_wait_s)
            async with working, self._alone(name) as is_alone:
                if is_alone:
                    await self._run(self._jobs[name])
        except asyncio.CancelledError:
            await asyncio.shield(answer(message.nak(delay=0.1)))
            raise
        except Exception as error:  # noqa: BLE001 - a periodic job outlives whatever fails
            await self._refuse(message, name, error)
        else:
            await answer(message.ack() if is_alone else message.nak(delay=self._busy_delay_s))

    async def _run(self, job: Scheduled) -> None:
        began = time.monotonic()
        await job.run()
        self._failures.pop(job.name, None)
        get_logger().info(
            "scheduled_run", job=job.name, duration_ms=round((time.monotonic() - began) * 1000)
        )
        _runs().labels(self._settings.service, job.name, "done").inc()
        _last_run().labels(self._settings.service, job.name).set_to_current_time()

    async def _refuse(self, message: Msg, name: str, error: Exception) -> None:
        failures = self._failures.get(name, 0) + 1
        get_logger().error("scheduled_run_failed", job=name, failures=failures, exc_info=error)
        _runs().labels(self._settings.service, name, "failed").inc()
        if failures >= _MAX_FAILURES:
            self._failures.pop(name, None)
            await answer(message.term())
            return
        self._failures[name] = failures
        delay_s = self._first_retry_s * 2 ** (failures - 1) * random.uniform(0.8, 1.2)  # noqa: S311
        await answer(message.nak(delay=delay_s))

    async def _follow_fleet_clock(self, offset: timedelta) -> None:
        """Makes jobs tick whose period ends within a move of the fleet clock."""
        while True:
            moved = await self._clock.advanced(offset)
            now = self._clock.now()
            was = now - (moved - offset)
            offset = moved
            for job in self._jobs.values():
                if _periods(was, job.every) < (turn := _periods(now, job.every)):
                    await self._tick(job, turn)

    async def _tick(self, job: Scheduled, turn: int) -> None:
        """Publishes a tick; of the replicas' the stream keeps one."""
        subject = self._subject("tick", job.name)
        while True:
            try:
                await self._js.publish(subject, headers={Header.MSG_ID.value: f"{subject}.{turn}"})
            except nats.errors.Error as error:
                get_logger().info("tick_waits", job=job.name, error=type(error).__name__)
                await asyncio.sleep(_LONGEST_BACKOFF_S)
            else:
                return

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[bool]:
        """Holds the job's lock if it is free, which ends with the connection; says whether."""
        try:
            conn = await psycopg.AsyncConnection.connect(
                self._settings.postgres_url.get_secret_value(),
                autocommit=True,
                connect_timeout=5,
                application_name=f"{self._settings.service}-{name}",
            )
        except psycopg.OperationalError as error:
            raise Unavailable("the database does not answer", retry_after_s=1.0) from error
        async with conn:
            result = await conn.execute(
                "select pg_try_advisory_lock(%s, hashtext(current_schema() || '.' || %s))",
                [_LOCK, name],
            )
            row = await result.fetchone()
            yield bool(row and row[0])

    def _subject(self, kind: str, name: str) -> str:
        return f"clock.{kind}.{self._settings.package}.{name}"


def _periods(at: datetime, every: timedelta) -> int:
    return (at - _EPOCH) // every


def _runs() -> Counter:
    return counter(
        "fleetdesk_scheduled_runs_total", "Runs of periodic jobs.", ("service", "job", "outcome")
    )


def _last_run() -> Gauge:
    return gauge(
        "fleetdesk_scheduled_last_run_timestamp_seconds",
        "When a periodic job last ended well, in seconds of Unix time.",
        ("service", "job"),
    )
