"""Files that come in pieces: gathered in memory up to a limit, and only so many at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleetkit.errors import InvalidArgument, ResourceExhausted

MAX_PIECE_BYTES = 2**20


class Uploads:
    """Limits what uploads may hold in memory: `max_bytes` each, `max_count` at once.

    Further ones wait up to `max_wait_s` for their turn.
    """

    def __init__(self, max_bytes: int, max_count: int, max_wait_s: float) -> None:
        self.max_bytes = max_bytes
        self._max_wait_s = max_wait_s
        self._slots = asyncio.Semaphore(max_count)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A place for one upload; ResourceExhausted when none becomes free for a while.

        Waiting costs no memory: the sender is held back until its pieces are read.
        """
        try:
            async with asyncio.timeout(self._max_wait_s):
                await self._slots.acquire()
        except TimeoutError as error:
            raise ResourceExhausted(
                "too many uploads at once: try again in a moment",
                reason="TOO_MANY_UPLOADS",
                retry_after_s=2.0,
            ) from error
        try:
            yield
        finally:
            self._slots.release()

    async def gather(self, pieces: AsyncIterator[bytes]) -> bytes:
        """The whole file; ResourceExhausted as soon as it is over the limit."""
        content = bytearray()
        async for piece in pieces:
            if len(piece) > MAX_PIECE_BYTES:
                raise InvalidArgument(
                    f"a piece has {len(piece):,} bytes; at most {MAX_PIECE_BYTES:,} are allowed",
                    field="data",
                )
            content += piece
            if len(content) > self.max_bytes:
                raise ResourceExhausted(
                    f"the file has more than {self.max_bytes:,} bytes, which is the limit: split "
                    "it into several files",
                    field="content",
                    reason="TOO_LARGE",
                    details={"limit_bytes": str(self.max_bytes)},
                )
        return bytes(content)
