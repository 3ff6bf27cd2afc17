"""The pool of worker processes: keeps them alive, feeds them, and loses no work when one dies."""

import asyncio
import time

from fleetkit.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from fleetkit.logging import get_logger
from fleetkit.telemetry import counter, gauge

from llm_gateway.workers.child import ChildOptions
from llm_gateway.workers.lanes import Embedded, Job, Lanes, Slice
from llm_gateway.workers.process import WorkerDied, WorkerProcess

# A slice whose worker died is tried once more; twice means that the texts themselves do it.
_MAX_ATTEMPTS = 2
_MAX_FAILED_STARTS = 3
_BACKOFF_S = 0.1
_MAX_BACKOFF_S = 5.0
# The weight of the newest slice in the estimate of how fast texts are served.
_SMOOTHING = 0.1


class WorkerPool:
    """`size` workers behind a queue of at most `max_texts` waiting texts in each lane.

    `start` and `close` frame its life; in between `embed` may be called from any task.
    """

    def __init__(self, options: ChildOptions, size: int, max_texts: int) -> None:
        self._options = options
        self._size = size
        self._max_texts = max_texts
        self._lanes = Lanes()
        self._work = asyncio.Event()
        self._ready = asyncio.Event()
        self._active: set[Job] = set()
        self._workers: dict[int, WorkerProcess] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._failed_starts = 0
        self._seconds_per_text = 0.05
        self._depth = gauge("fleetdesk_llm_queue_texts", "Texts that wait for a worker.", ("lane",))
        self._restarts = counter("fleetdesk_llm_worker_deaths", "Workers that died.")

    @property
    def version(self) -> str:
        """Version of the model that the workers run; "" before the first is ready."""
        return next((worker.version for worker in self._workers.values()), "")

    @property
    def pids(self) -> list[int]:
        """Process ids of the running workers."""
        return [worker.pid for worker in self._workers.values()]

    def start(self) -> None:
        """Starts the workers in the background."""
        self._tasks = [asyncio.create_task(self._keep_worker(n)) for n in range(self._size)]

    async def wait_ready(self) -> None:
        """Waits until the first worker has its model; Unavailable when they cannot start."""
        await self._ready.wait()
        self._refuse_when_broken()

    async def is_ready(self) -> bool:
        """Whether a worker has its model."""
        return bool(self._workers)

    async def close(self) -> None:
        """Ends the workers; what is still waiting fails as Unavailable."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail_all(Unavailable("the service is shutting down", reason="SHUTTING_DOWN"))

    async def embed(self, job: Job) -> Embedded:
        """Vectors of the job's texts.

        ResourceExhausted with `retry_after_s` when its lane is full, DeadlineExceeded when its
        time is over before they are done, Unavailable when workers die of it or cannot start.
        Cancelling drops what was not begun; `job.cpu_us` says what was spent.
        """
        self._refuse_when_broken()
        self._refuse_when_full(job)
        self._active.add(job)
        self._lanes.add(job)
        self._work.set()
        try:
            async with asyncio.timeout(job.deadline - time.monotonic()):
                version = await job.finished
        except TimeoutError as error:
            raise DeadlineExceeded(
                "the texts were not embedded in time", reason="EMBED_DEADLINE"
            ) from error
        finally:
            job.finished.cancel()
            self._active.discard(job)
        return job.result(version)

    def _refuse_when_full(self, job: Job) -> None:
        waiting = self._lanes.pending_texts(job.lane)
        self._depth.labels(job.lane.value).set(waiting)
        if waiting and waiting + len(job.texts) > self._max_texts:
            wait_s = round(max(0.1, waiting * self._seconds_per_text / self._size), 1)
            raise ResourceExhausted(
                f"{waiting} texts wait already; try again in {wait_s} s",
                reason="EMBED_QUEUE_FULL",
                retry_after_s=wait_s,
            )

    def _refuse_when_broken(self) -> None:
        if self._failed_starts >= _MAX_FAILED_STARTS and not self._workers:
            raise Unavailable(
                "the local model does not start; the log says why", reason="MODEL_DOES_NOT_START"
            )

    async def _keep_worker(self, number: int) -> None:
        """Runs one worker after another in the place `number` of the pool."""
        while True:
            try:
                worker = await WorkerProcess.start(self._options)
            except WorkerDied as death:
                await self._start_failed(death)
                continue
            self._workers[number] = worker
            self._failed_starts = 0
            self._ready.set()
            try:
                await self._feed(worker)
            except WorkerDied as death:
                self._restarts.inc()
                get_logger().warning(
                    "worker_died", worker_pid=worker.pid, exit_code=death.exit_code
                )
            finally:
                del self._workers[number]
                await worker.stop()

    async def _start_failed(self, death: WorkerDied) -> None:
        self._failed_starts += 1
        get_logger().error("worker_start_failed", exit_code=death.exit_code)
        if self._failed_starts >= _MAX_FAILED_STARTS and not self._workers:
            self._ready.set()
            self._fail_all(
                Unavailable("the local model does not start", reason="MODEL_DOES_NOT_START")
            )
        backoff_s = _BACKOFF_S * 2 ** min(self._failed_starts, 10)
        await asyncio.sleep(min(backoff_s, _MAX_BACKOFF_S))

    async def _feed(self, worker: WorkerProcess) -> None:
        while True:
            piece = await self._next_slice()
            started = time.monotonic()
            try:
                windows, cpu_ns = await worker.run(piece.pieces)
            except WorkerDied:
                self._do_again(piece)
                raise
            self._learn_speed((time.monotonic() - started) / len(windows))
            piece.job.cpu_ns += cpu_ns
            piece.job.accept(piece.places, windows, worker.version)
            self._lanes.add(piece.job)

    async def _next_slice(self) -> Slice:
        while (piece := self._lanes.take()) is None:
            self._work.clear()
            await self._work.wait()
        return piece

    def _do_again(self, piece: Slice) -> None:
        piece.attempts += 1
        if piece.attempts < _MAX_ATTEMPTS:
            self._lanes.add_again(piece)
            self._work.set()
        elif not piece.job.finished.done():
            piece.job.finished.set_exception(
                Unavailable("the local model failed on these texts", reason="MODEL_CRASHED")
            )

    def _fail_all(self, error: Unavailable) -> None:
        for job in self._active:
            if not job.finished.done():
                job.finished.set_exception(error)

    def _learn_speed(self, seconds: float) -> None:
        self._seconds_per_text += _SMOOTHING * (seconds - self._seconds_per_text)
