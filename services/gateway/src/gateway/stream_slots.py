"""How many streams may be open at once."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from fleetkit.errors import ResourceExhausted

_MAX_PER_CONVERSATION = 20


class StreamSlots:
    """How many streams are open: in all, and for one conversation; and when listening ends."""

    def __init__(self, most: int) -> None:
        self.ending = asyncio.Event()
        self._most = most
        self._open: Counter[UUID] = Counter()

    async def end_listening(self) -> None:
        """Ends what only listens: the process is to end, and listeners go on at another."""
        self.ending.set()

    @contextmanager
    def taken(self, conversation_id: UUID) -> Iterator[None]:
        """Holds a place while the block runs; ResourceExhausted when none is free."""
        if self._open.total() >= self._most:
            raise ResourceExhausted(
                "too many streams are open: try again", reason="TOO_MANY_STREAMS", retry_after_s=5
            )
        if self._open[conversation_id] >= _MAX_PER_CONVERSATION:
            raise ResourceExhausted(
                f"{_MAX_PER_CONVERSATION} streams of this conversation are open: close one",
                reason="TOO_MANY_STREAMS",
                retry_after_s=5,
            )
        self._open[conversation_id] += 1
        try:
            yield
        finally:
            self._open[conversation_id] -= 1
            if not self._open[conversation_id]:
                del self._open[conversation_id]
