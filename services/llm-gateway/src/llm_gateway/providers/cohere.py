"""The provider `cohere`: reranking by Cohere's v2 API through the official SDK."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx
from cohere import AsyncClientV2
from cohere._default_clients import DefaultAioHttpClient
from cohere.core.api_error import ApiError
from cohere.core.parse_error import ParsingError
from cohere.v2.types.v2rerank_response_results_item import V2RerankResponseResultsItem
from fleetkit import context

from llm_gateway.entries import Meter
from llm_gateway.pricing import Unit
from llm_gateway.providers.statuses import late, malformed, of_status, unreachable
from llm_gateway.providers.trust import trusted
from llm_gateway.reranking import Document

_MAX_TOKENS_PER_DOCUMENT = 4096
# A search is one query with up to 100 documents; longer ones count once per 500 tokens, each
# with the query (Cohere, "How does Cohere's pricing work?").
_TOKENS_PER_CHUNK = 500
_CHUNKS_PER_SEARCH = 100
_NO_DEADLINE_S = 30.0


class Cohere:
    """Scores 0–1 by the model named."""

    keeps_scores = True
    kinds = frozenset({Unit.RERANK_SEARCH})

    def __init__(
        self, api_key: str, base_url: str, connections: httpx.AsyncClient | None = None
    ) -> None:
        self._base_url = base_url
        self._http = connections or DefaultAioHttpClient(timeout=_NO_DEADLINE_S, verify=trusted())
        # Retrying is the caller's: a person waits for the order, and the fused one is at hand.
        self._client = AsyncClientV2(
            api_key=api_key, base_url=base_url, max_retries=0, httpx_client=self._http
        )

    def by_key(self, api_key: str) -> "Cohere":
        """The same by another key, over the same connections."""
        return Cohere(api_key, self._base_url, self._http)

    async def check(self) -> None:
        """Lists a model; FailedPrecondition (PROVIDER_CREDENTIALS) when the key is not one."""
        async with self._errors(Meter()):
            await self._client.models.list(page_size=1)

    def at_most(self, query: str, documents: Sequence[Document]) -> Mapping[Unit, int]:
        """A token has a byte or more."""
        beside = len(query.encode()) + 2
        chunks = sum(
            -(
                -min(len(d.text.encode()), _MAX_TOKENS_PER_DOCUMENT)
                // max(_TOKENS_PER_CHUNK - beside, 1)
            )
            for d in documents
        )
        return {Unit.RERANK_SEARCH: max(1, -(-chunks // _CHUNKS_PER_SEARCH))}

    async def rerank(
        self, model: str, query: str, documents: Sequence[Document], meter: Meter
    ) -> Sequence[float]:
        """ResourceExhausted (429), Unavailable, DeadlineExceeded, FailedPrecondition."""
        meter.begun = True
        async with self._errors(meter):
            response = await self._client.rerank(
                model=model,
                query=query,
                documents=[document.text for document in documents],
                top_n=len(documents),
                max_tokens_per_doc=_MAX_TOKENS_PER_DOCUMENT,
            )
        billed = response.meta and response.meta.billed_units
        if billed and billed.search_units is not None:
            meter.report(Unit.RERANK_SEARCH, math.ceil(billed.search_units))
            meter.complete = True
        return _in_order(response.results, len(documents))

    @asynccontextmanager
    async def _errors(self, meter: Meter) -> AsyncIterator[None]:
        """The SDK's errors as the fleet's; what was refused has not begun."""
        remaining = context.remaining_s()
        try:
            async with asyncio.timeout(_NO_DEADLINE_S if remaining is None else remaining):
                yield
        except TimeoutError as error:
            raise late() from error
        except ParsingError as error:
            raise malformed() from error
        except ApiError as error:
            if error.status_code is None or error.status_code < 400:
                raise malformed() from error
            meter.begun = False
            headers = {k.lower(): v for k, v in (error.headers or {}).items()}
            raise of_status(
                error.status_code, headers.get("retry-after"), "cohere_api_key"
            ) from error
        except httpx.ConnectError as error:
            meter.begun = False
            raise unreachable() from error
        except httpx.HTTPError as error:
            raise unreachable() from error

    async def close(self) -> None:
        """Closes the connections, of all keys."""
        await self._http.aclose()


def _in_order(results: Sequence[V2RerankResponseResultsItem], count: int) -> list[float]:
    # The SDK builds its objects without checking what came.
    try:
        scores = {row.index: float(row.relevance_score) for row in results}
        return [scores[index] for index in range(count)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise malformed() from error
