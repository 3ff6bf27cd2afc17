"""Vectors from llm-gateway."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2 import (
    EMBED_KIND_PASSAGE,
    EMBED_KIND_QUERY,
    EmbedRequest,
    EmbedResponse,
)
from fleetkit.errors import FailedPrecondition
from fleetkit.postgres import Database
from fleetkit.rpc.retry import retry_idempotent
from pgvector import Vector

from retrieval.store.models import note_speed

if TYPE_CHECKING:  # the name exists in the stubs only
    from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub

DIMENSIONS = 384
# A call of fewer passages says more about the way there than about the model.
_FEWEST_TIMED = 8
# The weight of the latest call in what a passage takes.
_LATELY = 0.2


def name_of(model: str) -> str:
    """The "provider/model" of a "provider/model@version"."""
    return model.partition("@")[0]


@dataclass(frozen=True, slots=True)
class Embedded:
    """Unit vectors as pgvector writes them, and the "provider/model@version" that made them.

    `tokens` are the token vectors of passages, b"" where the model has none.
    """

    model: str
    vectors: tuple[str, ...]
    tokens: tuple[bytes, ...] = ()


class Embedder:
    """Asks llm-gateway for vectors; the call context says for whom."""

    def __init__(
        self,
        stub: "LlmGatewayServiceStub",
        db: Database,
        *,
        passage_timeout_s: float,
        query_timeout_s: float,
    ) -> None:
        self._stub = stub
        self._db = db
        self._passage_timeout_s = passage_timeout_s
        self._query_timeout_s = query_timeout_s

    async def passages(self, texts: Sequence[str], model: str) -> Embedded:
        """Vectors of up to 64 passages by "provider/model", in order; notes how long they took."""
        began = time.monotonic()
        request = EmbedRequest(
            texts=texts, kind=EMBED_KIND_PASSAGE, token_vectors=True, model=model
        )
        response = await retry_idempotent(
            lambda: self._stub.Embed(request, timeout=self._passage_timeout_s)
        )
        if len(texts) >= _FEWEST_TIMED:
            passage_us = 1e6 * (time.monotonic() - began) / len(texts)
            await note_speed(self._db, name_of(response.model), passage_us, _LATELY)
        return _unit(response, len(texts))

    async def query(self, text: str, model: str) -> Embedded:
        """The vector of a query by "provider/model"; one attempt, since somebody waits."""
        request = EmbedRequest(texts=[text], kind=EMBED_KIND_QUERY, model=model)
        return _unit(await self._stub.Embed(request, timeout=self._query_timeout_s), 1)


def _unit(response: EmbedResponse, count: int) -> Embedded:
    """Normalised, so that the inner product is the cosine whatever the model does."""
    vectors = [np.fromiter(e.values, np.float32, len(e.values)) for e in response.embeddings]
    if len(vectors) != count or any(v.size != DIMENSIONS for v in vectors):
        raise FailedPrecondition(
            f"the embedding model does not give {count} vectors of {DIMENSIONS} components",
            reason="EMBEDDING_SHAPE",
        )
    units = (v / max(float(np.linalg.norm(v)), 1e-12) for v in vectors)
    tokens = tuple(e.token_vectors for e in response.embeddings)
    return Embedded(response.model, tuple(Vector(unit).to_text() for unit in units), tokens)
