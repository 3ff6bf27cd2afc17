"""Knowledge → Embedding: the model that knowledge is searched by, and the change to another."""

import asyncio

from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as pb_models
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetkit.errors import FleetError, NotFound
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from gateway.access import Access
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.routes.knowledge_index import choose_model
from gateway.routes.pages.reading import asked, form_of
from gateway.routes.pages.showing import ADMINS, go, is_partial, page, show
from gateway.views.embedding import Choice, EmbeddingPage, embedding_page
from gateway.views.forms import Form

_PAGE = "/knowledge/embedding"
_CHANGE = "/knowledge/embedding/change"
# The model is tried before it is taken.
_CHOOSES = Access(role=Role.ADMIN, body="form", timeout_s=60)


@page("GET", _PAGE)
async def get_embedding(request: GatewayRequest) -> Response:
    """The model in use, a change that is under way, and the choices; for htmx what changes."""
    view = await _view(request)
    partial = is_partial(request)
    template = "knowledge/_embedding.html" if partial else "knowledge/embedding.html"
    return show(request, "knowledge", template, tab="embedding", view=view)


@page("GET", _CHANGE, ADMINS)
async def get_change(request: GatewayRequest) -> Response:
    """Asks whether to change to a model, and says what that takes; the first when none is named."""
    choice = await _choice(request, asked(request, "model"))
    return show(request, "knowledge", "knowledge/change_model.html", choice=choice, form=Form())


@page("POST", _CHANGE, _CHOOSES)
async def post_change(request: GatewayRequest) -> Response:
    """Changes to a model, or goes on with the one in use."""
    choice = await _choice(request, (await form_of(request, "model"))["model"])
    try:
        index = await choose_model(request, choice.embed_model)
    except FleetError as error:
        form, status_code = Form({}).refused(error, ("embed_model",)), problem_of(error).status
        return show(
            request,
            "knowledge",
            "knowledge/change_model.html",
            status_code=status_code,
            choice=choice,
            form=form,
        )
    if index.changing:
        return go(_PAGE, f"Passages are being embedded by {choice.model}.")
    return go(_PAGE, f"Knowledge is searched by {choice.model}.")


async def _choice(request: GatewayRequest, model: str) -> Choice:
    choices = (await _view(request)).choices
    found = next((one for one in choices if one.model == (model or choices[0].model)), None)
    if found is None:
        raise NotFound("no model of that name embeds here", field="model")
    return found


async def _view(request: GatewayRequest) -> EmbeddingPage:
    parts = parts_of(request)
    found, prices = await asyncio.gather(
        call(parts.clients.retrieval.GetIndex, pb.GetIndexRequest()),
        call(parts.clients.model_settings.ListPrices, pb_models.ListPricesRequest()),
    )
    return embedding_page(found.index, prices.prices, parts.clock.now())


HANDLERS: list[HTTPRouteHandler] = [get_embedding, get_change, post_change]
