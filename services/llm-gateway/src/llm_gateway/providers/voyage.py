"""The provider `voyage`: embeddings and reranking by Voyage AI through the official SDK."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
import voyageai
from fleetkit import context
from fleetkit.errors import FleetError, ResourceExhausted
from numpy.typing import NDArray
from voyageai import error as voyage_error
from voyageai.client_async import AsyncClient

from llm_gateway.entries import Meter
from llm_gateway.minilm.windows import HIDDEN
from llm_gateway.pricing import Unit
from llm_gateway.providers.statuses import late, malformed, of_status, unreachable
from llm_gateway.reranking import Document
from llm_gateway.workers.lanes import Embedded, Lane

_NO_DEADLINE_S = 60.0
# The largest models take 120,000 tokens a request, and a token has a byte or more.
_MAX_REQUEST_BYTES = 120_000
_ATTEMPTS = 4
# The models are trained so that the first components of a vector are a smaller one of their own
# (Matryoshka): the smallest size on offer that has as many as the fleet's columns, cut to them.
_OFFERED_DIMENSIONS = 512


@dataclass(slots=True)
class _Connections:
    """Those of all keys, made when they are first used."""

    session: aiohttp.ClientSession | None = None


class Voyage:
    """Vectors, and scores 0–1, by the model named."""

    keeps_scores = True
    kinds = frozenset({Unit.RERANK})

    def __init__(
        self, api_key: str, base_url: str, connections: _Connections | None = None
    ) -> None:
        # The SDK's own retries are off: a person waits for the order, and the fused one is there.
        self._client = AsyncClient(api_key=api_key, max_retries=0, base_url=base_url)
        self._base_url = base_url
        self._connections = connections or _Connections()

    def by_key(self, api_key: str) -> "Voyage":
        """The same by another key, over the same connections."""
        return Voyage(api_key, self._base_url, self._connections)

    async def check(self, model: str) -> None:
        """Embeds one word, since nothing that is free tells whether a key is one."""
        await self.embed(model, ["key"], Lane.INTERACTIVE, Meter())

    def at_most(self, query: str, documents: Sequence[Document]) -> Mapping[Unit, int]:
        """The query counts with each document; a token has a byte or more."""
        asked = len(query.encode())
        return {Unit.RERANK: sum(asked + len(d.text.encode()) + 8 for d in documents)}

    async def rerank(
        self, model: str, query: str, documents: Sequence[Document], meter: Meter
    ) -> Sequence[float]:
        """ResourceExhausted (429), Unavailable, DeadlineExceeded, FailedPrecondition."""
        made = await self._call(
            lambda: self._client.rerank(query, [d.text for d in documents], model=model), meter
        )
        meter.report(Unit.RERANK, made.total_tokens)
        meter.complete = True
        try:
            scores = {row.index: float(row.relevance_score) for row in made.results}
            return [scores[index] for index in range(len(documents))]
        except (KeyError, TypeError, ValueError) as error:
            raise malformed() from error

    def at_most_embedding(self, texts: Sequence[str]) -> Mapping[Unit, int]:
        """A token has a byte or more."""
        return {Unit.EMBEDDING: sum(len(text.encode()) + 8 for text in texts)}

    async def embed(self, model: str, texts: Sequence[str], lane: Lane, meter: Meter) -> Embedded:
        """As many requests as the texts need; passages wait where the provider says so (429).

        ResourceExhausted (429), Unavailable, DeadlineExceeded, FailedPrecondition.
        """
        vectors: list[NDArray[np.float32]] = []
        tokens = 0
        for batch in batches(texts):
            made = await self._embed_batch(model, batch, lane, meter)
            tokens += made.total_tokens
            meter.report(Unit.EMBEDDING, tokens)
            vectors += [_cut(vector) for vector in made.embeddings]
        meter.complete = True
        if len(vectors) != len(texts):
            raise malformed()
        return Embedded(vectors, [0] * len(texts), 0, str(HIDDEN), [b""] * len(texts))

    async def _embed_batch(self, model: str, texts: Sequence[str], lane: Lane, meter: Meter) -> Any:
        kind = "query" if lane is Lane.INTERACTIVE else "document"

        def embed() -> Any:
            return self._client.embed(
                list(texts), model=model, input_type=kind, output_dimension=_OFFERED_DIMENSIONS
            )

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._call(embed, meter)
            except ResourceExhausted as error:
                remaining = context.remaining_s()
                wait_s = error.retry_after_s or 1.0
                late = remaining is not None and wait_s >= remaining
                if lane is Lane.INTERACTIVE or attempt == _ATTEMPTS or late:
                    raise
                await asyncio.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    async def _call(self, call: Any, meter: Meter) -> Any:
        """The SDK's answer over one kept session; its errors as the fleet's."""
        session = self._connections.session or aiohttp.ClientSession()
        self._connections.session = session
        remaining = context.remaining_s()
        meter.begun = True
        token = voyageai.aiosession.set(session)
        try:
            async with asyncio.timeout(_NO_DEADLINE_S if remaining is None else remaining):
                return await call()
        except (TimeoutError, voyage_error.Timeout) as error:
            raise late() from error
        except voyage_error.VoyageError as error:
            status = error.http_status
            if status is None:
                raise unreachable() from error
            if status < 400:
                raise malformed() from error
            meter.begun = False
            raise _refused(status, error.headers) from error
        except (AttributeError, KeyError, TypeError, IndexError, ValueError) as error:
            # The SDK reads fields of an answer without looking whether they are there.
            raise malformed() from error
        finally:
            voyageai.aiosession.reset(token)

    async def close(self) -> None:
        """Closes the connections, of all keys."""
        if self._connections.session is not None:
            await self._connections.session.close()


def batches(texts: Sequence[str]) -> list[list[str]]:
    """The texts in order, as many together as one request takes."""
    found: list[list[str]] = []
    room = 0
    for text in texts:
        size = len(text.encode())
        if not found or size > room:
            found.append([])
            room = _MAX_REQUEST_BYTES
        found[-1].append(text)
        room -= size
    return found


def _cut(vector: Sequence[float]) -> NDArray[np.float32]:
    if len(vector) < HIDDEN:
        raise malformed()
    first = np.asarray(vector[:HIDDEN], np.float32)
    return first / max(float(np.linalg.norm(first)), 1e-12)


def _refused(status: int, headers: Mapping[str, str]) -> FleetError:
    found = {key.lower(): value for key, value in headers.items()}
    return of_status(status, found.get("retry-after"), "voyage_api_key")
