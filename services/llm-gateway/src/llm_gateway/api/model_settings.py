"""ModelSettingsService: translate, call, translate."""

from collections.abc import Collection

from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as settings_pb
from fleetdesk.llm_gateway.v1.model_settings_service_pb2_grpc import ModelSettingsServiceServicer
from fleetkit.context import tenant_id
from grpc.aio import ServicerContext

from llm_gateway.api.wire import to_health
from llm_gateway.attempts import Attempts
from llm_gateway.metering import Metering
from llm_gateway.prices import TenantPrices
from llm_gateway.pricing import Tier
from llm_gateway.translate import to_price


class ModelSettingsApi(ModelSettingsServiceServicer):
    """The RPCs of a tenant's settings; `configured` are the providers that are."""

    def __init__(
        self,
        prices: TenantPrices,
        configured: Collection[str],
        metering: Metering,
        attempts: Attempts,
    ) -> None:
        self._prices = prices
        self._configured = configured
        self._metering = metering
        self._attempts = attempts

    async def ListModelHealth(
        self, request: settings_pb.ListModelHealthRequest, context: ServicerContext
    ) -> settings_pb.ListModelHealthResponse:
        circuits = {view.name: view for view in self._attempts.circuits()}
        models = [to_health(model, circuits) for model in self._metering.health.models()]
        return settings_pb.ListModelHealthResponse(models=models)

    async def ListPrices(
        self, request: settings_pb.ListPricesRequest, context: ServicerContext
    ) -> settings_pb.ListPricesResponse:
        listed = await self._prices.listed(tenant_id())
        return settings_pb.ListPricesResponse(
            prices=[to_price(price, self._configured) for price in listed],
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
