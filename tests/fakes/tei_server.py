"""A server that speaks text-embeddings-inference's `POST /rerank`."""

from typing import Any

from aiohttp import web
from fakes.scripting import ScriptedServer, relevance

MAX_BATCH = 32


def fake_tei() -> ScriptedServer:
    """Refuses more than `MAX_BATCH` texts a request, as the real one does unless told otherwise."""
    return ScriptedServer(
        {"/rerank": _rerank},
        lambda status: {"error": f"scripted {status}", "error_type": "Overloaded"},
    )


def _rerank(request: web.Request, body: dict[str, Any]) -> list[Any] | int:
    if request.headers.get("Authorization") not in (None, "Bearer right"):
        return 401
    if not 1 <= len(body["texts"]) <= MAX_BATCH:
        return 413
    scored = [
        {"index": index, "score": relevance(body["query"], text)}
        for index, text in enumerate(body["texts"])
    ]
    return sorted(scored, key=lambda row: -row["score"])
