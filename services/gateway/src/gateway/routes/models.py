"""Models: what they cost, and what of it is the tenant's own."""

from typing import Annotated

from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as pb
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter

from gateway import audit
from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.requests import client_ip_of
from gateway.shapes.models import (
    ModelHealth,
    ModelHealthList,
    ModelPrice,
    ModelPriceList,
    SetPricesRequest,
)

_TAGS = ["Models"]
_PRICES = "/v1/costs/prices"
_READ = Access(role=Role.VIEWER, scope="models:read")
_WRITE = Access(role=Role.ADMIN, scope="models:write")
_CLEAR = Access(role=Role.ADMIN, scope="models:write", body="none")


@endpoint("GET", _PRICES, _READ, tags=_TAGS, summary="List prices of models")
async def get_prices(request: GatewayRequest) -> ModelPriceList:
    """Every model of the price book with the prices that hold for the tenant now."""
    found = await call(parts_of(request).clients.model_settings.ListPrices, pb.ListPricesRequest())
    return ModelPriceList(found.price_book_version, [ModelPrice.of(one) for one in found.prices])


@endpoint("GET", "/v1/models/health", _READ, tags=_TAGS, summary="Read how models fare")
async def get_model_health(request: GatewayRequest) -> ModelHealthList:
    """Last success and failure, duration, and whether they are asked; of one process."""
    method = parts_of(request).clients.model_settings.ListModelHealth
    found = await call(method, pb.ListModelHealthRequest())
    return ModelHealthList([ModelHealth.of(one) for one in found.models])


@endpoint("PUT", _PRICES, _WRITE, tags=_TAGS, summary="Set own prices of a model")
async def put_prices(request: GatewayRequest, data: JSONBody[SetPricesRequest]) -> ModelPrice:
    """Prices of the tenant's own from now on; what was spent before keeps its price."""
    price = await set_prices(request, data)
    return ModelPrice.of(price)


@endpoint("DELETE", _PRICES, _CLEAR, status_code=204, tags=_TAGS, summary="Clear own prices")
async def delete_prices(
    request: GatewayRequest,
    model: Annotated[
        str, QueryParameter(name="model", min_length=3, max_length=200, description="The model.")
    ],
) -> None:
    """Goes back to the book's prices of a model from now on."""
    await clear_prices(request, model)


async def set_prices(request: GatewayRequest, wanted: SetPricesRequest) -> pb.ModelPrice:
    """Sets prices, and says so in the audit log; also for the page."""
    message = pb.SetPricesRequest(
        model=wanted.model, tiers=[tier.message() for tier in wanted.tiers]
    )
    made = await call(parts_of(request).clients.model_settings.SetPrices, message)
    await note(request, "model_prices.set", wanted.model)
    return made.price


async def clear_prices(request: GatewayRequest, model: str) -> None:
    """Clears prices, and says so in the audit log; also for the page."""
    method = parts_of(request).clients.model_settings.ClearPrices
    await call(method, pb.ClearPricesRequest(model=model))
    await note(request, "model_prices.cleared", model)


async def note(request: GatewayRequest, action: str, target: str, **facts: str) -> None:
    """A line of the audit log about what models may cost."""
    principal = request.user
    actor = audit.actor_of(principal, client_ip_of(request.scope))
    async with parts_of(request).db.tenant(principal.tenant_id) as conn:
        await audit.record(conn, principal.tenant_id, actor, action, target, facts)


HANDLERS: list[HTTPRouteHandler] = [get_model_health, get_prices, put_prices, delete_prices]
