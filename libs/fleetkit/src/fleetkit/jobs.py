"""Jobs: durable work to be done after a commit, at least once, by whichever replica is free.

A job is a row of ids written in the transaction that makes it necessary. A runner claims it with
a lease, which a heartbeat extends; when the process dies the lease ends and another runner takes
the job. Handlers are idempotent.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from prometheus_client import Counter
from psycopg.types.json import Jsonb

from fleetkit import job_store
from fleetkit.clock import Clock
from fleetkit.context import background
from fleetkit.errors import FleetError
from fleetkit.ids import new_id
from fleetkit.job_store import Job
from fleetkit.logging import get_logger
from fleetkit.postgres.connection import FleetConnection
from fleetkit.postgres.database import Database
from fleetkit.tasks import end, woken_within
from fleetkit.telemetry import counter

TOPIC = "job"
# What is enqueued or comes due here is known; this is for what another process leaves behind.
_POLL_S = 3.0
LEASE_S = 30.0
_LONGEST_BACKOFF_S = 300.0


__all__ = ["Job", "JobHandler", "JobRunner", "OnDead", "enqueue"]

JobHandler = Callable[[Job], Awaitable[None]]
OnDead = Callable[[Job, Exception], Awaitable[None]]


async def enqueue(
    conn: FleetConnection,
    tenant_id: UUID,
    kind: str,
    subject_id: UUID,
    payload: Mapping[str, Any] | None = None,
    run_at: datetime | None = None,
) -> UUID:
    """Adds a job in the transaction of `conn`; returns its id.

    While one with the same tenant, kind and subject is queued there is no second: its payload is
    replaced and it runs at the earlier time. `payload` holds ids, never text. `run_at` is by the
    fleet clock, at once when not given. ValueError for another tenant than the transaction's.
    """
    if conn.tenant_id is not None and conn.tenant_id != tenant_id:
        raise ValueError("a job is of the tenant of its transaction")
    result = await conn.execute(
        "insert into job (job_id, tenant_id, kind, subject_id, payload, run_at)"
        " values (%s, %s, %s, %s, %s, %s)"
        " on conflict (tenant_id, kind, subject_id) where state = 'queued' do update"
        " set payload = excluded.payload, run_at = least(job.run_at, excluded.run_at)"
        " returning job_id",
        [new_id(), tenant_id, kind, subject_id, Jsonb(dict(payload or {})), run_at or conn.now()],
    )
    row = await result.fetchone()
    conn.signal(TOPIC)
    assert row is not None  # noqa: S101 - an upsert returns its row
    return row[0]


class JobRunner:
    """Runs queued jobs of the kinds in `handlers`; `run` ends by cancellation only.

    A handler runs without a transaction, as background work of the job's tenant. One that raises
    is tried again after a delay that doubles from `backoff_s`, with jitter; after `max_attempts`
    the job is dead and `on_dead(job, error)` is called. Two jobs of the same tenant, kind and
    subject never run at once.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        handlers: Mapping[str, JobHandler],
        *,
        concurrency: int = 4,
        max_attempts: int = 8,
        on_dead: OnDead | None = None,
        lease_s: float = LEASE_S,
        backoff_s: float = 1.0,
    ) -> None:
        self._db = db
        self._clock = clock
        self._handlers = dict(handlers)
        self._concurrency = concurrency
        self._max_attempts = max_attempts
        self._on_dead = on_dead
        self._lease_s = lease_s
        self._backoff_s = backoff_s
        self._woken = asyncio.Event()
        self._running: dict[asyncio.Task[None], Job] = {}
        # Whether the end of a job that runs may let another one begin.
        self._held_up = False

    def wake(self) -> None:
        """Looks for jobs now instead of at the next poll; commits that enqueue do it."""
        # Two of the same subject don't run at once, so the new one may have to wait.
        self._held_up = self._held_up or bool(self._running)
        self._woken.set()

    async def run(self) -> None:
        """Runs jobs as they come due. Cancelled, it hands back those it had claimed."""
        stop_listening = self._db.listen(TOPIC, self.wake)
        try:
            while True:
                self._woken.clear()
                try:
                    await self._fill()
                except FleetError as error:
                    # The database is away; jobs wait for it.
                    get_logger().warning("job_claim_failed", error=type(error).__name__)
                await self._rest()
        finally:
            stop_listening()
            await asyncio.shield(self._hand_back())

    async def _fill(self) -> None:
        free = self._concurrency - len(self._running)
        if free < 1 or not self._handlers:
            return
        jobs = await job_store.claim(
            self._db, list(self._handlers), self._clock.now(), self._lease_s, free
        )
        for job in jobs:
            task = asyncio.create_task(self._work(job))
            self._running[task] = job
            task.add_done_callback(self._done)
        self._held_up = self._held_up or len(jobs) == free

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        if self._held_up:
            self._held_up = False
            self._woken.set()

    async def _rest(self) -> None:
        await woken_within(self._woken, _POLL_S)

    async def _work(self, job: Job) -> None:
        """Runs one job to its outcome; never raises but when cancelled."""
        try:
            await self._attempt(job)
        except (FleetError, psycopg.Error) as error:
            # Its outcome could not be written: the lease ends and it runs again.
            get_logger().warning("job_outcome_lost", kind=job.kind, error=type(error).__name__)

    async def _attempt(self, job: Job) -> None:
        with background(job.tenant_id):
            try:
                await self._handle(job)
            except Exception as error:  # noqa: BLE001 - the job loop, see the class
                await self._failed(job, error)
            else:
                await job_store.finish(self._db, job)
                _jobs().labels(job.kind, "done").inc()

    async def _handle(self, job: Job) -> None:
        if job.attempts > self._max_attempts:
            # No attempt came to an outcome.
            raise RuntimeError("every attempt ended the process")
        async with self._leased(job):
            await self._handlers[job.kind](job)

    @asynccontextmanager
    async def _leased(self, job: Job) -> AsyncIterator[None]:
        """Extends the lease inside the block; cancels the block when the lease is lost."""
        async with asyncio.timeout(None) as limit:
            heartbeat = asyncio.create_task(self._extend_forever(job, limit))
            try:
                yield
            finally:
                heartbeat.cancel()

    async def _extend_forever(self, job: Job, limit: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        expires = loop.time() + self._lease_s
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                if not await job_store.extend(self._db, job, self._lease_s):
                    expires = loop.time()
                else:
                    expires = loop.time() + self._lease_s
            except FleetError:
                get_logger().warning("job_lease_not_extended", kind=job.kind)
            if loop.time() >= expires:
                # Another runner may have it by now.
                limit.reschedule(loop.time())
                return

    async def _failed(self, job: Job, error: Exception) -> None:
        dead = job.attempts >= self._max_attempts
        get_logger().warning(
            "job_failed",
            kind=job.kind,
            job_id=str(job.job_id),
            attempts=job.attempts,
            dead=dead,
            exc_info=error,
        )
        _jobs().labels(job.kind, "dead" if dead else "failed").inc()
        if not dead:
            delay = self._delay(job)
            await job_store.retry(self._db, job, describe(error), self._clock.now() + delay)
            asyncio.get_running_loop().call_later(delay.total_seconds(), self.wake)
            return
        if self._on_dead is not None:
            await self._bury(self._on_dead, job, error)
        await job_store.give_up(self._db, job, describe(error))

    async def _bury(self, on_dead: OnDead, job: Job, error: Exception) -> None:
        try:
            await on_dead(job, error)
        except Exception as failure:  # noqa: BLE001 - a job that is dead stays dead
            get_logger().error("job_on_dead_failed", kind=job.kind, exc_info=failure)

    def _delay(self, job: Job) -> timedelta:
        delay_s = min(self._backoff_s * 2 ** (job.attempts - 1), _LONGEST_BACKOFF_S)
        return timedelta(seconds=delay_s * random.uniform(0.5, 1.5))  # noqa: S311

    async def _hand_back(self) -> None:
        jobs = list(self._running.values())
        tasks = list(self._running)
        await end(tasks)
        if not jobs:
            return
        try:
            for job in jobs:
                await job_store.release(self._db, job)
        except FleetError as error:
            get_logger().warning("job_hand_back_failed", error=type(error).__name__)


def describe(error: BaseException) -> str:
    """The class and, of our own errors, their message; others' messages may quote a text."""
    name = type(error).__name__
    return f"{name}: {error.message}"[:500] if isinstance(error, FleetError) else name


def _jobs() -> Counter:
    return counter("fleetdesk_jobs_total", "Jobs by outcome.", ("kind", "outcome"))
