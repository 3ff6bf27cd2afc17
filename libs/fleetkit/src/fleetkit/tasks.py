"""The background tasks of a process: none is lost, none stops unnoticed."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from fleetkit.logging import get_logger

Work = Coroutine[Any, Any, None]

_CANCEL_AGAIN_S = 1.0


class Tasks:
    """Runs coroutines beside the RPC server until `drain`.

    `on_failure` is called when a task has failed that the process cannot do without; the process
    then drains and ends non-zero, and its supervisor starts it anew.
    """

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure
        self._running: set[asyncio.Task[None]] = set()
        self._spawned: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.failed = False

    def run_forever(self, work: Work, name: str) -> None:
        """Runs a loop that has no end of its own; ending, even quietly, is a failure."""
        self._start(self._running, work, name).add_done_callback(self._forever_ended)

    def run_once(self, work: Work, name: str) -> None:
        """Runs work that may end; raising is a failure."""
        self._start(self._running, work, name).add_done_callback(self._once_ended)

    def spawn(self, work: Work, name: str) -> asyncio.Task[None]:
        """Runs a piece of work of its own; raising is logged, `drain` waits for it."""
        task = self._start(self._spawned, work, name)
        task.add_done_callback(_spawned_ended)
        return task

    def expect_ends(self) -> None:
        """Says that the process stops: from now on no end of a task is a failure."""
        self._stopping = True

    async def drain(self, grace_s: float) -> None:
        """Waits up to `grace_s` for spawned work, then cancels all tasks and waits for them."""
        self.expect_ends()
        if self._spawned:
            await asyncio.wait(self._spawned, timeout=grace_s)
        await end([*self._spawned, *self._running])

    def _start(self, group: set[asyncio.Task[None]], work: Work, name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        group.add(task)
        task.add_done_callback(group.discard)
        return task

    def _forever_ended(self, task: asyncio.Task[None]) -> None:
        self._report(task, None if task.cancelled() else task.exception())

    def _once_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(task, error)

    def _report(self, task: asyncio.Task[None], error: BaseException | None) -> None:
        if self._stopping and error is None:
            return
        get_logger().critical("background_task_ended", task=task.get_name(), exc_info=error)
        if not self._stopping:
            self.failed = True
            self._on_failure()


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits until all have ended, whatever they raise.

    Cancels again those that go on: in Python 3.11 `asyncio.wait_for`, which libraries use,
    swallows a cancellation that comes together with what it waited for. Cancelled itself, it
    raises that when all have ended: what it left behind nobody would end.
    """
    waiting = set(tasks)
    interrupted: asyncio.CancelledError | None = None
    while waiting:
        for task in waiting:
            task.cancel()
        try:
            await asyncio.wait(waiting, timeout=_CANCEL_AGAIN_S)
        except asyncio.CancelledError as error:
            interrupted = error
        waiting = {task for task in waiting if not task.done()}
    if interrupted is not None:
        raise interrupted


async def woken_within(event: asyncio.Event, seconds: float) -> bool:
    """Waits for `event`, at most so long; whether it was set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _spawned_ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        get_logger().error("spawned_task_failed", task=task.get_name(), exc_info=error)
