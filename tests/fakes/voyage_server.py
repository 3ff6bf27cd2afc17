"""A server that speaks Voyage's `POST /v1/rerank`, as the SDK expects it."""

from typing import Any

from aiohttp import web
from fakes.scripting import ScriptedServer, relevance


def fake_voyage() -> ScriptedServer:
    """A token is a word here; the query counts with each document, as the real one bills."""
    return ScriptedServer({"/v1/rerank": _rerank}, lambda status: {"detail": f"scripted {status}"})


def _rerank(request: web.Request, body: dict[str, Any]) -> dict[str, Any] | int:
    if request.headers.get("Authorization") != "Bearer right":
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
