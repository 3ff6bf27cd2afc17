"""The provider `selfhosted`: a reranker behind HTTP, in the shape of text-embeddings-inference.

`POST /rerank` with `{"query", "texts", "truncate"}` is answered with `[{"index", "score"}]`, as
servers of bge-reranker and its kin do it.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from fleetkit import context

from llm_gateway.entries import Meter
from llm_gateway.pricing import Unit
from llm_gateway.providers.statuses import late, malformed, of_status, unreachable
from llm_gateway.reranking import Document

_NO_DEADLINE_S = 30.0
_MAX_ANSWER_BYTES = 64 * 1024


class HttpRerank:
    """Scores 0–1 by the model that the server at `url` has loaded, `batch` documents at a time."""

    keeps_scores = True
    kinds = frozenset({Unit.RERANK_PAIR})

    def __init__(self, url: str, api_key: str, batch: int) -> None:
        self._url = f"{url.rstrip('/')}/rerank"
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._batch = batch
        self._session: aiohttp.ClientSession | None = None

    def at_most(
        self,
        query: str,  # noqa: ARG002 - a pair costs what it costs
        documents: Sequence[Document],
    ) -> Mapping[Unit, int]:
        """A pair each."""
        return {Unit.RERANK_PAIR: len(documents)}

    async def rerank(
        self,
        model: str,  # noqa: ARG002 - the server has loaded one
        query: str,
        documents: Sequence[Document],
        meter: Meter,
    ) -> Sequence[float]:
        """ResourceExhausted (429), Unavailable, DeadlineExceeded, FailedPrecondition."""
        remaining = context.remaining_s()
        scores: list[float] = []
        try:
            async with asyncio.timeout(_NO_DEADLINE_S if remaining is None else remaining):
                for start in range(0, len(documents), self._batch):
                    batch = documents[start : start + self._batch]
                    scores += await self._batch_of(query, [d.text for d in batch])
                    meter.report(Unit.RERANK_PAIR, len(scores))
        except TimeoutError as error:
            raise late() from error
        finally:
            # What a batch cost that never came back is the tenant's own machine's time.
            meter.complete = True
        return scores

    async def _batch_of(self, query: str, texts: list[str]) -> list[float]:
        self._session = self._session or aiohttp.ClientSession()
        body = {"query": query, "texts": texts, "truncate": True}
        try:
            async with self._session.post(
                self._url, json=body, headers=self._headers, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise of_status(
                        response.status, response.headers.get("Retry-After"), "rerank_api_key"
                    )
                if (response.content_length or 0) > _MAX_ANSWER_BYTES:
                    raise malformed()
                answer = await response.json(content_type=None)
        except aiohttp.ClientError as error:
            raise unreachable() from error
        except ValueError as error:
            raise malformed() from error
        return _scores(answer, len(texts))

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()


def _scores(answer: Any, count: int) -> list[float]:
    try:
        found = {int(row["index"]): float(row["score"]) for row in answer}
        scores = [found[index] for index in range(count)]
    except (KeyError, TypeError, ValueError) as error:
        raise malformed() from error
    if not all(math.isfinite(score) for score in scores):
        raise malformed()
    return scores
