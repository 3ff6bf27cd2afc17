"""A server that speaks Voyage's `/v1/rerank` and `/v1/embeddings`, as the SDK expects it."""

import base64
from typing import Any

import numpy as np
from aiohttp import web
from fakes.scripting import ScriptedServer, relevance, takes


def fake_voyage() -> ScriptedServer:
    """A token is a word here; the query counts with each document, as the real one bills."""
    routes = {"/v1/rerank": _rerank, "/v1/embeddings": _embed}
    return ScriptedServer(routes, lambda status: {"detail": f"scripted {status}"})


def _embed(request: web.Request, body: dict[str, Any]) -> dict[str, Any] | int:
    """A text's vector points to its length; the SDK asks for base64 of little-endian floats."""
    if not takes(request):
        return 401
    if body["input_type"] not in ("query", "document") or body["output_dimension"] != 512:
        return 400
    data: list[dict[str, Any]] = []
    for index, text in enumerate(body["input"]):
        vector = np.zeros(512, "<f4")
        vector[len(text) % 384] = 1.0
        encoded = base64.b64encode(vector.tobytes()).decode()
        data.append({"object": "embedding", "embedding": encoded, "index": index})
    tokens = sum(len(text.split()) for text in body["input"])
    return {
        "object": "list",
        "data": data,
        "model": body["model"],
        "usage": {"total_tokens": tokens},
    }


def _rerank(request: web.Request, body: dict[str, Any]) -> dict[str, Any] | int:
    if not takes(request):
        return 401
    query, documents = body["query"], body["documents"]
    scored = [
        {"index": index, "relevance_score": relevance(query, document)}
        for index, document in enumerate(documents)
    ]
    scored.sort(key=lambda row: -row["relevance_score"])
    tokens = sum(len(query.split()) + len(document.split()) for document in documents)
    return {
        "object": "list",
        "data": scored,
        "model": body["model"],
        "usage": {"total_tokens": tokens},
    }
