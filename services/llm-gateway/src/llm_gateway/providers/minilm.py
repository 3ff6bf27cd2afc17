"""Embeddings by all-MiniLM-L6-v2 in the service's own worker processes."""

import asyncio
import time
from collections.abc import Sequence

from fleetkit import context

from llm_gateway.ledger import Meter
from llm_gateway.minilm.windows import MAX_WINDOWS, WINDOW_TOKENS
from llm_gateway.pricing import Unit
from llm_gateway.workers.lanes import Embedded, Job, Lane
from llm_gateway.workers.pool import WorkerPool

MODEL = "local/all-minilm-l6-v2"

_NO_DEADLINE_S = 120.0
# A token takes about 0.25 ms of one core at full length; the bound leaves room for a slow one.
_MOST_US_PER_TOKEN = 2000


class MiniLm:
    """The local embedding model."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool

    async def embed(self, texts: Sequence[str], lane: Lane, meter: Meter) -> Embedded:
        """Unit vectors of 384 components; errors are those of `WorkerPool.embed`.

        Adds the CPU time to `meter`, also when the work is cut short.
        """
        remaining = context.remaining_s()
        deadline = time.monotonic() + (_NO_DEADLINE_S if remaining is None else remaining)
        finished: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        job = Job(list(texts), lane, deadline, finished)
        before = meter.units.get(Unit.COMPUTE_US, 0)
        try:
            return await self._pool.embed(job)
        finally:
            meter.report(Unit.COMPUTE_US, before + job.cpu_us)
            # Measured here, not reported by somebody else: there is nothing still to come.
            meter.complete = True


def most_compute_us(texts: Sequence[str]) -> int:
    """An upper bound of the CPU microseconds that embedding takes: a token has a byte or more."""
    longest = MAX_WINDOWS * WINDOW_TOKENS
    tokens = sum(min(len(text.encode()) + 2, longest) for text in texts)
    return tokens * _MOST_US_PER_TOKEN
