"""The background tasks of a process: none is lost, none stops unnoticed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fleetkit.logging import get_logger


class Tasks:
    """Runs coroutines beside the RPC server until `drain`.

    `on_failure` is called once a task that the process cannot do without has failed; the process
    then ends non-zero and its supervisor starts it anew.
    """

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure
        self._loops: set[asyncio.Task[None]] = set()
        self._short: set[asyncio.Task[None]] = set()
        self.failed = False

    def run_forever(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Runs a loop that must not end before `drain`; ending, even quietly, is a failure."""
        self._start(self._loops, work, name, self._forever_ended)

    def run_once(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Runs work that may end; raising is a failure of the process."""
        self._start(self._loops, work, name, self._once_ended)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Runs a piece of work of its own; raising is logged, `drain` waits for it to finish."""
        return self._start(self._short, work, name, self._spawned_ended)

    async def drain(self, grace_s: float) -> None:
        """Waits up to `grace_s` for spawned work, then cancels everything and waits for it."""
        if self._short:
            await asyncio.wait(self._short, timeout=grace_s)
        everything = [*self._short, *self._loops]
        for task in everything:
            task.remove_done_callback(self._forever_ended)
            task.cancel()
        await asyncio.gather(*everything, return_exceptions=True)

    def _start(
        self,
        group: set[asyncio.Task[None]],
        work: Coroutine[Any, Any, None],
        name: str,
        ended: Callable[[asyncio.Task[None]], None],
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        group.add(task)
        task.add_done_callback(group.discard)
        task.add_done_callback(ended)
        return task

    def _forever_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._fail(task, None)
        else:
            self._fail(task, task.exception())

    def _once_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(task, error)

    def _spawned_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            get_logger().error("spawned_task_failed", task=task.get_name(), exc_info=error)

    def _fail(self, task: asyncio.Task[None], error: BaseException | None) -> None:
        get_logger().critical("background_task_ended", task=task.get_name(), exc_info=error)
        self.failed = True
        self._on_failure()
