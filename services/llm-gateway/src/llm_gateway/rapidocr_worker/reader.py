"""The one rapidocr worker, seen from the service: begun by the first picture, ended when idle."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from typing import Any

from fleetkit import context
from fleetkit.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted, Unavailable
from fleetkit.logging import get_logger
from fleetkit.telemetry import counter, gauge

from llm_gateway.entries import Meter
from llm_gateway.pricing import Unit
from llm_gateway.seeing import Line, Region
from llm_gateway.workers import frames

_START_TIMEOUT_S = 60.0
_READ_TIMEOUT_S = 60.0
_NO_DEADLINE_S = 60.0


class Reader:
    """Reads one picture at a time; at most `max_waiting` more wait.

    The worker takes 400 to 850 MB, by the size of the pictures: a fleet that is never shown a
    screen never starts it, and after `idle_s` without a picture it is ended.
    """

    def __init__(self, threads: int, nice: int, max_waiting: int, idle_s: float) -> None:
        self._arguments = (str(threads), str(nice))
        self._max_waiting = max_waiting
        self._idle_s = idle_s
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._process: Process | None = None
        self._used_at = 0.0
        self._seconds_each = 1.0
        self._depth = gauge("fleetdesk_llm_see_waiting", "Pictures that wait to be read.")
        self._deaths = counter("fleetdesk_llm_see_worker_deaths", "Reading workers that died.")

    @property
    def pid(self) -> int | None:
        """The worker's process id; None while there is none."""
        return self._process.pid if self._process else None

    async def read(self, image: bytes, regions: list[Region], meter: Meter) -> list[Line]:
        """The lines of text in the regions; `meter` learns what reading them took.

        ResourceExhausted (SEE_QUEUE_FULL) when too many wait; DeadlineExceeded when the call's
        time is over first; Unavailable when the worker dies or does not start; InvalidArgument
        for what is no picture. A picture that is being read when its caller goes away costs the
        worker, since it can't be told to stop.
        """
        self._refuse_when_full()
        remaining = context.remaining_s()
        self._waiting += 1
        self._depth.set(self._waiting)
        try:
            async with asyncio.timeout(_NO_DEADLINE_S if remaining is None else remaining):
                async with self._turn:
                    # Cut short from here on, it cost what nobody measured.
                    meter.begun = True
                    return await self._read(image, regions, meter)
        except TimeoutError as error:
            raise DeadlineExceeded(
                "the picture was not read in time", reason="SEE_DEADLINE"
            ) from error
        finally:
            self._waiting -= 1
            self._depth.set(self._waiting)

    async def end_when_idle(self) -> None:
        """Ends the worker whenever nothing was read for a while; runs forever."""
        while True:
            await asyncio.sleep(self._idle_s / 4)
            idle = time.monotonic() - self._used_at >= self._idle_s
            if self._process is not None and idle and not self._turn.locked():
                get_logger().info("see_worker_idle", worker_pid=self._process.pid)
                await self._end()

    async def close(self) -> None:
        """Ends the worker."""
        await self._end()

    def _refuse_when_full(self) -> None:
        if self._waiting > self._max_waiting:
            wait_s = round(max(0.5, self._waiting * self._seconds_each), 1)
            raise ResourceExhausted(
                f"{self._waiting} pictures wait already; try again in {wait_s} s",
                reason="SEE_QUEUE_FULL",
                retry_after_s=wait_s,
            )

    async def _read(self, image: bytes, regions: list[Region], meter: Meter) -> list[Line]:
        began = time.monotonic()
        try:
            if self._process is None:
                await self._start()
            answer = await self._exchange(image, regions)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError, RuntimeError) as error:
            self._deaths.inc()
            get_logger().warning("see_worker_died", error=type(error).__name__)
            await self._end()
            raise Unavailable("the local reader failed", reason="MODEL_CRASHED") from error
        except asyncio.CancelledError:
            # Its answer would be taken for the next picture's.
            await asyncio.shield(self._end())
            raise
        self._used_at = time.monotonic()
        self._seconds_each += 0.2 * (self._used_at - began - self._seconds_each)
        meter.report(Unit.COMPUTE_US, round(answer["cpu_ns"] / 1000))
        meter.complete = True
        if "error" in answer:
            raise InvalidArgument(answer["error"], field="image")
        return [Line(text, Region(*box), score) for text, *box, score in answer["lines"]]

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "llm_gateway.rapidocr_worker.child", *self._arguments,
            stdin=PIPE, stdout=PIPE,
        )  # fmt: skip
        async with asyncio.timeout(_START_TIMEOUT_S):
            await self._receive(self._process)
        get_logger().info("see_worker_ready", worker_pid=self._process.pid)

    async def _exchange(self, image: bytes, regions: list[Region]) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None:
            raise RuntimeError("there is no worker")
        boxes = [[box.x, box.y, box.width, box.height] for box in regions]
        async with asyncio.timeout(_READ_TIMEOUT_S):
            process.stdin.write(frames.pack({"regions": boxes}, image))
            await process.stdin.drain()
            return await self._receive(process)

    async def _receive(self, process: Process) -> dict[str, Any]:
        if process.stdout is None:
            raise RuntimeError("the worker has no output")
        prefix = await process.stdout.readexactly(frames.PREFIX_BYTES)
        head, tail = frames.lengths(prefix)
        answer = json.loads(await process.stdout.readexactly(head))
        await process.stdout.readexactly(tail)
        return answer

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            try:
                process.kill()
            except ProcessLookupError:
                pass  # It ended by itself a moment ago.
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()
