"""The index of knowledge: with which embedding model it is searched."""

from fleetdesk.retrieval.v1 import index_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.noting import note
from gateway.shapes.knowledge_index import EmbeddingModelRequest, KnowledgeIndex
from gateway.text import checked_text

_TAGS = ["Knowledge"]


@endpoint(
    "GET",
    "/v1/knowledge/index",
    Access(role=Role.VIEWER, scope="knowledge:read"),
    tags=_TAGS,
    summary="See the index",
)
async def get_index(request: GatewayRequest) -> KnowledgeIndex:
    """The embedding model that searches use, and how far a change of it is."""
    found = await call(parts_of(request).clients.retrieval.GetIndex, pb.GetIndexRequest())
    return KnowledgeIndex.of(found.index)


@endpoint(
    "PUT",
    "/v1/knowledge/index",
    Access(role=Role.ADMIN, scope="knowledge:write", timeout_s=60),
    tags=_TAGS,
    summary="Choose the embedding model",
)
async def put_index(
    request: GatewayRequest, data: JSONBody[EmbeddingModelRequest]
) -> KnowledgeIndex:
    """Embeds all passages by another model in the background, then searches by it.

    Until then searches use the former one. A model that does not embed here is refused.
    """
    name = checked_text(data.embed_model, "embed_model", 200) if data.embed_model else ""
    return KnowledgeIndex.of(await choose_model(request, name))


async def choose_model(request: GatewayRequest, embed_model: str) -> index_pb2.KnowledgeIndex:
    """Chooses it, "" for the deployment's, and says so in the audit log; also for the page."""
    chosen = await call(
        parts_of(request).clients.retrieval.SetEmbeddingModel,
        pb.SetEmbeddingModelRequest(embed_model=embed_model),
    )
    model = embed_model or chosen.index.default_model
    await note(request, "embedding_model.chosen", str(request.user.tenant_id), model=model)
    return chosen.index


HANDLERS: list[HTTPRouteHandler] = [get_index, put_index]
