"""How many reads of the API a second."""

import asyncio
import time
from dataclasses import dataclass

import httpx

from .tables import percentile

HEAD = ["callers", "requests/s", "p50 ms", "p95 ms", "p99 ms", "failed"]


@dataclass(frozen=True)
class Reads:
    """Seconds of each read by `callers` callers within `seconds`."""

    callers: int
    seconds: float
    taken_s: list[float]
    failed: int

    def row(self) -> list[str]:
        """Its row of the table."""
        figures = [f"{percentile(self.taken_s, each) * 1000:.1f}" for each in (50, 95, 99)]
        rate = f"{len(self.taken_s) / self.seconds:.0f}"
        return [str(self.callers), rate, *figures, str(self.failed)]


async def measure(client: httpx.AsyncClient, callers: int, seconds: float) -> Reads:
    """Read again and again, each caller one at a time, for `seconds`."""
    taken_s: list[float] = []
    failed = 0
    began = time.monotonic()

    async def caller() -> None:
        nonlocal failed
        while (before := time.monotonic()) < began + seconds:
            answer = await client.get("/v1/me")
            if answer.is_success:
                taken_s.append(time.monotonic() - before)
            else:
                failed += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return Reads(callers, time.monotonic() - began, taken_s, failed)
