"""What was saved on models, and how prompt caching fares."""

import asyncio
from datetime import datetime
from typing import Annotated

from fleetdesk.analytics.v1 import analytics_service_pb2 as pb
from fleetdesk.llm_gateway.v1.model_settings_service_pb2 import ListPricesRequest
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.reading import as_asked
from gateway.shapes.common import TIME_SCHEMA, stamp_of
from gateway.shapes.savings import Caching, Savings

_TAGS = ["Analytics"]
_READ = Access(role=Role.VIEWER, scope="analytics:read")
Start = Annotated[
    str, QueryParameter(name="from", description="First moment.", schema_extra=TIME_SCHEMA)
]
End = Annotated[
    str,
    QueryParameter(
        name="to", description="End, exclusive: at most 366 days later.", schema_extra=TIME_SCHEMA
    ),
]


@endpoint("GET", "/v1/analytics/savings", _READ, tags=_TAGS, summary="Compare with the baseline")
async def get_savings(request: GatewayRequest, start: Start, end: End) -> Savings:
    """What models cost beside one dear model that answers everything without a cache.

    Split into routing, prompt caching, answers given again, and frames of shared screens that
    were not sent; `lines` are the ledger's units that the first three are reckoned from.
    """
    with as_asked():
        found, baseline_model = await read_savings(request, start, end)
    return Savings.of(found.savings, baseline_model)


@endpoint("GET", "/v1/analytics/caching", _READ, tags=_TAGS, summary="Read how caching fares")
async def get_caching(request: GatewayRequest, start: Start, end: End) -> Caching:
    """Prompt tokens read from and written to providers' caches, and what that saved."""
    with as_asked():
        return Caching.of(await read_caching(request, start, end))


async def read_savings(
    request: GatewayRequest, start: datetime | str, end: datetime | str
) -> tuple[pb.GetSavingsResponse, str]:
    """The comparison, and the model compared with; also for the page."""
    clients = parts_of(request).clients
    wanted = pb.GetSavingsRequest(start_time=stamp_of(start, "from"), end_time=stamp_of(end, "to"))
    found, prices = await asyncio.gather(
        call(clients.analytics.GetSavings, wanted),
        call(clients.model_settings.ListPrices, ListPricesRequest()),
    )
    return found, prices.baseline_model


async def read_caching(
    request: GatewayRequest, start: datetime | str, end: datetime | str
) -> pb.GetCachingResponse:
    """The figures; also for the page."""
    wanted = pb.GetCachingRequest(start_time=stamp_of(start, "from"), end_time=stamp_of(end, "to"))
    return await call(parts_of(request).clients.analytics.GetCaching, wanted)


HANDLERS: list[HTTPRouteHandler] = [get_savings, get_caching]
