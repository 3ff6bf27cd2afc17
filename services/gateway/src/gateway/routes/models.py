"""Models: what they cost, and what prices and keys are the tenant's own."""

from typing import Annotated

from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as pb
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.noting import note
from gateway.shapes.models import (
    ModelHealth,
    ModelHealthList,
    ModelPrice,
    ModelPriceList,
    Provider,
    ProviderKey,
    ProviderKeyList,
    SetPricesRequest,
    SetProviderKeyRequest,
)

_TAGS = ["Models"]
_PRICES = "/v1/costs/prices"
_KEYS = "/v1/settings/provider-keys"
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


@endpoint("GET", _KEYS, _READ, tags=_TAGS, summary="List own keys at providers")
async def get_provider_keys(request: GatewayRequest) -> ProviderKeyList:
    """The tenant's own keys: of each the last four characters, and since when it is set."""
    return ProviderKeyList.of(await provider_keys(request))


@endpoint("PUT", _KEYS, _WRITE, tags=_TAGS, summary="Set an own key at a provider")
async def put_provider_key(
    request: GatewayRequest, data: JSONBody[SetProviderKeyRequest]
) -> ProviderKey:
    """Has the provider try the key; from then on it takes the tenant's calls there.

    It is kept encrypted and never shown again.
    """
    return ProviderKey.of(await set_provider_key(request, data.provider, data.api_key))


@endpoint("DELETE", _KEYS, _CLEAR, status_code=204, tags=_TAGS, summary="Forget an own key")
async def delete_provider_key(
    request: GatewayRequest,
    provider: Annotated[Provider, QueryParameter(name="provider", description="The provider.")],
) -> None:
    """Forgets the key; the fleet's own takes the calls again, where it has one."""
    await forget_provider_key(request, provider)


async def provider_keys(request: GatewayRequest) -> pb.ListProviderKeysResponse:
    """The tenant's keys; also for the page."""
    method = parts_of(request).clients.model_settings.ListProviderKeys
    return await call(method, pb.ListProviderKeysRequest())


async def set_provider_key(request: GatewayRequest, provider: str, api_key: str) -> pb.ProviderKey:
    """Sets a key, and says so in the audit log; also for the page."""
    message = pb.SetProviderKeyRequest(provider=provider, api_key=api_key)
    made = await call(parts_of(request).clients.model_settings.SetProviderKey, message)
    await note(request, "provider_key.set", provider)
    return made.key


async def forget_provider_key(request: GatewayRequest, provider: str) -> None:
    """Forgets a key, and says so in the audit log; also for the page."""
    method = parts_of(request).clients.model_settings.DeleteProviderKey
    await call(method, pb.DeleteProviderKeyRequest(provider=provider))
    await note(request, "provider_key.deleted", provider)


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


HANDLERS: list[HTTPRouteHandler] = [
    get_model_health,
    get_prices,
    put_prices,
    delete_prices,
    get_provider_keys,
    put_provider_key,
    delete_provider_key,
]
