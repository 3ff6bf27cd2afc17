"""A stand-in for embedding models, at llm-gateway's Embed: alike where texts share words.

The real model would be loaded anew for every test. It speaks gRPC on a real socket and checks no
token; what it was asked is in `texts`, `models` and `attributions`. `down` makes it answer
UNAVAILABLE, `delay_s` makes it slow, for texts with `slow_word` only where that is set; after three
calls, `held_model` waits until `released` is set. Any model
"local/…" is there in `version`; vectors of different models or versions have nothing in common.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetkit.context import Attribution
from fleetkit.rpc import metadata as md

DIMENSIONS = 384
_FREE_CALLS = 3
_SERVICE = "fleetdesk.llm_gateway.v1.LlmGatewayService"


class FakeEmbeddings:
    """See the module."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.attributions: list[Attribution] = []
        self.models: list[str] = []
        self.version = "1"
        self.down = False
        self.delay_s = 0.0
        self.slow_word = ""
        self.held_model = ""
        self.released = asyncio.Event()
        self.token_vectors = b"tokens"
        self.reranked: list[pb.RerankRequest] = []
        self.rerank_delay_s = 0.0
        self.address = ""

    async def Embed(self, request: pb.EmbedRequest, context: Any) -> pb.EmbedResponse:
        metadata = dict(context.invocation_metadata())
        self.attributions.append(md.decode_attribution(metadata.get(md.ATTRIBUTION, b"")))
        if any(self.slow_word in text for text in request.texts):
            await asyncio.sleep(self.delay_s)
        if request.model == self.held_model and self.models.count(request.model) >= _FREE_CALLS:
            await self.released.wait()
        if self.down:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
        if not request.model.startswith("local/"):
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no such model here")
        self.texts.extend(request.texts)
        self.models.append(request.model)
        model = f"{request.model}@{self.version}"
        kept = self.token_vectors if request.token_vectors else b""
        embeddings = [
            pb.Embedding(values=vector_of(text, model), token_vectors=kept)
            for text in request.texts
        ]
        return pb.EmbedResponse(embeddings=embeddings, model=model)

    async def Rerank(self, request: pb.RerankRequest, context: Any) -> pb.RerankResponse:
        """The shorter a document, the better."""
        self.reranked.append(request)
        await asyncio.sleep(self.rerank_delay_s)
        if self.down:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
        scores = [-float(len(document.text)) for document in request.documents]
        return pb.RerankResponse(scores=scores, model=request.model)


@asynccontextmanager
async def serve_embeddings() -> AsyncIterator[FakeEmbeddings]:
    """A served one; `address` is its gRPC target."""
    fake = FakeEmbeddings()
    server = grpc.aio.server()
    embed = grpc.unary_unary_rpc_method_handler(
        fake.Embed,
        request_deserializer=pb.EmbedRequest.FromString,
        response_serializer=pb.EmbedResponse.SerializeToString,
    )
    rerank = grpc.unary_unary_rpc_method_handler(
        fake.Rerank,
        request_deserializer=pb.RerankRequest.FromString,
        response_serializer=pb.RerankResponse.SerializeToString,
    )
    handlers = {"Embed": embed, "Rerank": rerank}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    fake.address = f"127.0.0.1:{port}"
    await server.start()
    yield fake
    await server.stop(0)


def vector_of(text: str, model: str) -> list[float]:
    """The normalised sum of a pseudo-random direction for each distinct word."""
    words = sorted(set(re.findall(r"\w+", text.lower()))) or [""]
    total = np.sum([_direction(f"{model} {word}") for word in words], axis=0)
    return (total / np.linalg.norm(total)).tolist()


def _direction(word: str) -> Any:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(DIMENSIONS)
