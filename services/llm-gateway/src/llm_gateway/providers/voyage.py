"""The provider `voyage`: reranking by Voyage AI through the official SDK."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import voyageai
from fleetkit import context
from fleetkit.errors import FleetError
from voyageai import error as voyage_error
from voyageai.client_async import AsyncClient

from llm_gateway.entries import Meter
from llm_gateway.pricing import Unit
from llm_gateway.providers.statuses import late, malformed, of_status, unreachable
from llm_gateway.reranking import Document

_NO_DEADLINE_S = 60.0


class Voyage:
    """Scores 0–1 by the model named."""

    keeps_scores = True
    kinds = frozenset({Unit.RERANK})

    def __init__(self, api_key: str, base_url: str) -> None:
        # The SDK's own retries are off: a person waits for the order, and the fused one is there.
        self._client = AsyncClient(api_key=api_key, max_retries=0, base_url=base_url)
        self._session: aiohttp.ClientSession | None = None

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

    async def _call(self, call: Any, meter: Meter) -> Any:
        """The SDK's answer over one kept session; its errors as the fleet's."""
        self._session = self._session or aiohttp.ClientSession()
        remaining = context.remaining_s()
        meter.begun = True
        token = voyageai.aiosession.set(self._session)
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
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()


def _refused(status: int, headers: Mapping[str, str]) -> FleetError:
    found = {key.lower(): value for key, value in headers.items()}
    return of_status(status, found.get("retry-after"), "voyage_api_key")
