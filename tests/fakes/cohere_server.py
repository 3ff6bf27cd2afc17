"""A server that speaks Cohere's `/v2/rerank` and lists its models, as the SDK expects."""

from typing import Any

from aiohttp import web
from fakes.scripting import ScriptedServer, relevance, takes


def fake_cohere() -> ScriptedServer:
    """A search unit is a query with up to 100 documents, as the real one bills."""
    routes = {"/v2/rerank": _rerank, "GET /v1/models": _models}
    return ScriptedServer(routes, lambda status: {"message": f"scripted {status}"})


def _models(request: web.Request, body: dict[str, Any]) -> dict[str, Any] | int:
    return {"models": []} if takes(request) else 401


def _rerank(request: web.Request, body: dict[str, Any]) -> dict[str, Any] | int:
    if not takes(request):
        return 401
    documents = body["documents"]
    if not documents or not all(isinstance(d, str) and d for d in documents):
        return 400
    scored = [
        {"index": index, "relevance_score": relevance(body["query"], document)}
        for index, document in enumerate(documents)
    ]
    scored.sort(key=lambda row: -row["relevance_score"])
    return {
        "id": "0b1c",
        "results": scored[: body.get("top_n") or len(scored)],
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": -(-len(documents) // 100)},
        },
    }
