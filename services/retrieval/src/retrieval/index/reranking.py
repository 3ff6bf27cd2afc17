"""Reranking: the first passages of the fused order, looked at once more by a model.

How much its scores count beside the fused ones is fitted for the local model (see
`rerank_weights.json`); a model that is not listed there decides alone. A reranker that fails or is
slow leaves the fused order as it was.
"""

import asyncio
import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2 import RerankDocument, RerankRequest
from fleetkit.errors import FleetError
from fleetkit.logging import get_logger
from fleetkit.postgres import Database
from fleetkit.telemetry import counter

from retrieval.index.ranking import Ranked
from retrieval.parsing.prepare import embedded_text
from retrieval.store import token_vectors as store
from retrieval.store.rows import PassageRow

if TYPE_CHECKING:  # the name exists in the stubs only
    from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub

DEPTH = 20
# After so many failures in a row the next searches don't wait for it, for so long.
_FAILURES = 3
_PAUSE_S = 15.0
_MAX_TEXT_CHARS = 8_000


@dataclass(frozen=True, slots=True)
class Reordered:
    """Passages, best first, each with its final score 0–1, and the reranker's own scores.

    `reason` says why the order is the fused one still; "" when it was reranked.
    """

    ranked: list[Ranked]
    final: Mapping[int, float]
    scores: Mapping[int, float]
    model: str
    reason: str


class Reranker:
    """Asks llm-gateway's Rerank; `model` as "provider/model", `timeout_s` for a whole stage."""

    def __init__(
        self, db: Database, stub: "LlmGatewayServiceStub", model: str, timeout_s: float
    ) -> None:
        weights = _weights()
        self._db = db
        self._stub = stub
        self.model = model
        # How its scores count: by the fitted weight of this version, or alone.
        self._weight = weights["weights"].get(model)
        self.version: str = weights["version"] if self._weight is not None else ""
        self._timeout_s = timeout_s
        self._failures = 0
        self._paused_until = 0.0
        self._outcomes = counter("fleetdesk_retrieval_reranks", "Reranked searches.", ("outcome",))

    async def reorder(
        self,
        tenant_id: UUID,
        query: str,
        ranked: Sequence[Ranked],
        passages: Mapping[int, PassageRow],
        depth: int,
    ) -> Reordered:
        """The first `depth` of the ranked in a new order, then the others as they were."""
        head = ranked[:depth]
        if time.monotonic() < self._paused_until:
            return self._unchanged(ranked, "RERANK_PAUSED")
        try:
            async with asyncio.timeout(self._timeout_s):
                scores = await self._scores(tenant_id, query, head, passages)
        except TimeoutError:
            return self._failed(ranked, "RERANK_TIMEOUT")
        except FleetError as error:
            return self._failed(ranked, error.reason)
        if scores is None:
            return self._unchanged(ranked, "NO_TOKEN_VECTORS")
        self._failures = 0
        self._outcomes.labels("ok").inc()
        final = combined(head, scores, self._weight)
        order = sorted(head, key=lambda r: (-final[r.candidate.chunk_no], r.candidate.chunk_no))
        return Reordered([*order, *ranked[depth:]], final, scores, self.model, "")

    async def _scores(
        self,
        tenant_id: UUID,
        query: str,
        head: Sequence[Ranked],
        passages: Mapping[int, PassageRow],
    ) -> dict[int, float] | None:
        """None when the local model lacks what it reads: passages indexed before there was any."""
        numbers = [item.candidate.chunk_no for item in head]
        tokens: dict[int, bytes] = {}
        if self.model.startswith("local/"):
            async with self._db.tenant(tenant_id) as conn:
                tokens = await store.of_chunks(conn, tenant_id, numbers)
            if len(tokens) < len(numbers):
                return None
        documents = [
            RerankDocument(text=_text(passages[number]), token_vectors=tokens.get(number, b""))
            for number in numbers
        ]
        request = RerankRequest(query=query, documents=documents, model=self.model)
        response = await self._stub.Rerank(request, timeout=self._timeout_s)
        return dict(zip(numbers, response.scores, strict=True))

    def _failed(self, ranked: Sequence[Ranked], reason: str) -> Reordered:
        self._failures += 1
        if self._failures >= _FAILURES:
            self._paused_until = time.monotonic() + _PAUSE_S
            self._failures = 0
        get_logger().warning("search_not_reranked", reason=reason)
        return self._unchanged(ranked, reason)

    def _unchanged(self, ranked: Sequence[Ranked], reason: str) -> Reordered:
        self._outcomes.labels(reason).inc()
        final = {item.candidate.chunk_no: item.fused for item in ranked}
        return Reordered(list(ranked), final, {}, "", reason)


def combined(
    head: Sequence[Ranked], scores: Mapping[int, float], weight: float | None
) -> dict[int, float]:
    """Final scores 0–1: the fused log-odds plus `weight` times the score above its mean.

    Without a weight the scores alone decide, put on the scale of the fused log-odds.
    """
    if not head:
        return {}
    fused = {item.candidate.chunk_no: math.log(item.fused / (1 - item.fused)) for item in head}
    mean = math.fsum(scores.values()) / len(scores)
    if weight is not None:
        odds = {no: value + weight * (scores[no] - mean) for no, value in fused.items()}
    else:
        middle = math.fsum(fused.values()) / len(fused)
        scale = _spread(fused.values()) / max(_spread(scores.values()), 1e-9)
        odds = {no: middle + scale * (scores[no] - mean) for no in fused}
    return {no: 1 / (1 + math.exp(-value)) for no, value in odds.items()}


def _spread(values: Iterable[float]) -> float:
    numbers = list(values)
    mean = math.fsum(numbers) / len(numbers)
    return math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / len(numbers))


def _text(passage: PassageRow) -> str:
    """What the reranker reads: title, headings and text, as what was embedded."""
    text = embedded_text(passage.title, tuple(passage.heading_path), passage.text)
    return text[:_MAX_TEXT_CHARS]


def _weights() -> dict[str, Any]:
    return json.loads((files("retrieval.index") / "rerank_weights.json").read_text("utf-8"))
