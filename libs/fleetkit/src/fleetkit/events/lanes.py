"""Lanes: what comes for one tenant is handled together, one batch after the other."""

import asyncio
from collections.abc import Awaitable, Callable

from nats.aio.msg import Msg

from fleetkit.tasks import end

_MOST_TOGETHER = 32


class Lanes:
    """Gives messages to `take` by tenant, in the order in which they came.

    Of one tenant one batch is taken at a time: the first message at once, then what comes within
    `gather_s`. At most `concurrency` tenants' batches are taken at once, and no tenant waits for
    another's beyond that.
    """

    def __init__(
        self, take: Callable[[list[Msg]], Awaitable[None]], *, concurrency: int, gather_s: float
    ) -> None:
        self._take = take
        self._gather_s = gather_s
        self._slots = asyncio.Semaphore(concurrency)
        self._waiting: dict[str, list[Msg]] = {}
        self._running: set[asyncio.Task[None]] = set()

    def add(self, message: Msg) -> None:
        """Has a message taken."""
        tenant = message.subject.rpartition(".")[2]
        waiting = self._waiting.get(tenant)
        if waiting is not None:
            waiting.append(message)
            return
        self._waiting[tenant] = [message]
        task = asyncio.create_task(self._run(tenant))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def end(self) -> None:
        """Stops taking, also in the midst of a batch."""
        await end(self._running)

    async def _run(self, tenant: str) -> None:
        waiting = self._waiting[tenant]
        try:
            while waiting:
                async with self._slots:
                    batch = waiting[:_MOST_TOGETHER]
                    del waiting[:_MOST_TOGETHER]
                    await self._take(batch)
                if len(waiting) < _MOST_TOGETHER:
                    await asyncio.sleep(self._gather_s)
        finally:
            del self._waiting[tenant]
