"""ModelSettingsService: translate, call, translate."""

from collections.abc import Collection

from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as settings_pb
from fleetdesk.llm_gateway.v1.model_settings_service_pb2_grpc import ModelSettingsServiceServicer
from fleetkit.context import tenant_id
from grpc.aio import ServicerContext

from llm_gateway.attempts import Attempts
from llm_gateway.metering import Metering
from llm_gateway.prices import TenantPrices
from llm_gateway.pricing import Tier
from llm_gateway.providers.keyed import KEYED
from llm_gateway.tenant_keys import TenantKeys
from llm_gateway.wire.calls import to_health
from llm_gateway.wire.rows import to_price, to_provider_key


class ModelSettingsApi(ModelSettingsServiceServicer):
    """The RPCs of a tenant's settings; `configured` are the providers that are."""

    def __init__(
        self,
        prices: TenantPrices,
        keys: TenantKeys,
        configured: Collection[str],
        metering: Metering,
        attempts: Attempts,
    ) -> None:
        self._prices = prices
        self._keys = keys
        self._configured = configured
        self._metering = metering
        self._attempts = attempts

    async def ListModelHealth(
        self, request: settings_pb.ListModelHealthRequest, context: ServicerContext
    ) -> settings_pb.ListModelHealthResponse:
        circuits = {view.name: view for view in self._attempts.circuits(tenant_id())}
        models = [to_health(model, circuits) for model in self._metering.health.models()]
        return settings_pb.ListModelHealthResponse(models=models)

    async def ListPrices(
        self, request: settings_pb.ListPricesRequest, context: ServicerContext
    ) -> settings_pb.ListPricesResponse:
        listed = await self._prices.listed(tenant_id())
        configured = {*self._configured, *await self._keys.of(tenant_id())}
        return settings_pb.ListPricesResponse(
            prices=[to_price(price, configured) for price in listed],
            price_book_version=self._prices.book.version,
            baseline_model=self._prices.book.baseline_model,
        )

    async def SetPrices(
        self, request: settings_pb.SetPricesRequest, context: ServicerContext
    ) -> settings_pb.SetPricesResponse:
        tiers = [Tier(tier.above_prompt_tokens, dict(tier.prices)) for tier in request.tiers]
        made = await self._prices.set(tenant_id(), request.model, tiers)
        return settings_pb.SetPricesResponse(price=to_price(made, self._configured))

    async def ClearPrices(
        self, request: settings_pb.ClearPricesRequest, context: ServicerContext
    ) -> settings_pb.ClearPricesResponse:
        await self._prices.clear(tenant_id(), request.model)
        return settings_pb.ClearPricesResponse()

    async def ListProviderKeys(
        self, request: settings_pb.ListProviderKeysRequest, context: ServicerContext
    ) -> settings_pb.ListProviderKeysResponse:
        keys = map(to_provider_key, await self._keys.listed(tenant_id()))
        return settings_pb.ListProviderKeysResponse(keys=keys, providers=KEYED)

    async def SetProviderKey(
        self, request: settings_pb.SetProviderKeyRequest, context: ServicerContext
    ) -> settings_pb.SetProviderKeyResponse:
        row = await self._keys.set(tenant_id(), request.provider, request.api_key)
        return settings_pb.SetProviderKeyResponse(key=to_provider_key(row))

    async def DeleteProviderKey(
        self, request: settings_pb.DeleteProviderKeyRequest, context: ServicerContext
    ) -> settings_pb.DeleteProviderKeyResponse:
        await self._keys.delete(tenant_id(), request.provider)
        return settings_pb.DeleteProviderKeyResponse()
