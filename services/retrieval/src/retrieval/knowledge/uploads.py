"""Files that come in pieces: gathered in memory up to a limit, and only so many at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleetkit.errors import InvalidArgument, ResourceExhausted

MAX_PIECE_BYTES = 2**20


class Uploads:
    """Limits what uploads may hold in memory: `max_bytes` each, `max_count` at once."""

    def __init__(self, max_bytes: int, max_count: int) -> None:
        self.max_bytes = max_bytes
        self._slots = asyncio.Semaphore(max_count)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A place for one upload; ResourceExhausted when all are taken."""
        if self._slots.locked():
            raise ResourceExhausted(
                "too many uploads at once: try again in a moment",
                reason="TOO_MANY_UPLOADS",
                retry_after_s=2.0,
            )
        async with self._slots:
            yield

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
