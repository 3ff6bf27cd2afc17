"""Embeddings by all-MiniLM-L6-v2 in the service's own worker processes."""

import asyncio
import time
from collections.abc import Sequence

from fleetkit import context

from llm_gateway.entries import Meter
from llm_gateway.minilm.remembered import RememberedVectors, Vector
from llm_gateway.minilm.windows import MAX_WINDOWS, WINDOW_TOKENS, Keep
from llm_gateway.pricing import Unit
from llm_gateway.workers.lanes import Embedded, Job, Lane
from llm_gateway.workers.pool import WorkerPool

MODEL = "local/all-minilm-l6-v2"

_NO_DEADLINE_S = 120.0
# A token takes about 0.25 ms of one core at full length; the bound leaves room for a slow one.
_MOST_US_PER_TOKEN = 2000


class MiniLm:
    """The local embedding model."""

    def __init__(self, pool: WorkerPool, most_remembered: int) -> None:
        self._pool = pool
        self._remembered = RememberedVectors(most_remembered)

    async def embed(
        self, texts: Sequence[str], lane: Lane, meter: Meter, keep: Keep = ""
    ) -> Embedded:
        """Unit vectors of 384 components; errors are those of `WorkerPool.embed`.

        With `keep` also token vectors. Adds the CPU time to `meter`, also when the work is cut
        short.
        """
        remaining = context.remaining_s()
        deadline = time.monotonic() + (_NO_DEADLINE_S if remaining is None else remaining)
        finished: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        job = Job(list(texts), lane, deadline, finished, keep)
        before = meter.units.get(Unit.COMPUTE_US, 0)
        try:
            embedded = await self._pool.embed(job)
        finally:
            meter.report(Unit.COMPUTE_US, before + job.cpu_us)
            # Measured here, not reported by somebody else: there is nothing still to come.
            meter.complete = True
        if lane is Lane.INTERACTIVE:
            for text, vector in zip(texts, embedded.vectors, strict=True):
                self._remembered.put(context.tenant_id(), text, vector)
        return embedded

    async def vectors(self, texts: Sequence[str], meter: Meter) -> list[Vector]:
        """The vectors of texts that a person waits for; what is remembered costs nothing.

        Errors and `meter` as with `embed`.
        """
        tenant_id = context.tenant_id()
        found = {text: self._remembered.get(tenant_id, text) for text in texts}
        missing = [text for text, vector in found.items() if vector is None]
        if missing:
            embedded = await self.embed(missing, Lane.INTERACTIVE, meter)
            found |= zip(missing, embedded.vectors, strict=True)
        return [vector for text in texts if (vector := found[text]) is not None]


def most_compute_us(texts: Sequence[str]) -> int:
    """An upper bound of the CPU microseconds that embedding takes: a token has a byte or more."""
    longest = MAX_WINDOWS * WINDOW_TOKENS
    tokens = sum(min(len(text.encode()) + 2, longest) for text in texts)
    return tokens * _MOST_US_PER_TOKEN
