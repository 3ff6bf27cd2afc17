"""Settings → Models: what models cost, by whose keys they are asked, and how they fare."""

import asyncio
from datetime import UTC, datetime

from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as pb
from fleetkit.errors import FleetError, NotFound
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.routes.models import (
    clear_prices,
    forget_provider_key,
    provider_keys,
    set_prices,
    set_provider_key,
)
from gateway.routes.pages.reading import asked, form_of
from gateway.routes.pages.showing import ADMINS, go, page, show
from gateway.views.forms import Form
from gateway.views.models import (
    KeyRow,
    field_names,
    health_rows,
    key_rows,
    models_page,
    price_sheet,
    prices_typed,
)

_PAGE = "/settings/models"
_PRICE = "/settings/models/price"
_KEY = "/settings/models/key"


@page("GET", _PAGE)
async def get_models(request: GatewayRequest) -> Response:
    """Prices of all models, and how those fare that are asked."""
    method = parts_of(request).clients.model_settings.ListModelHealth
    prices, health, keys = await asyncio.gather(
        _prices(request), call(method, pb.ListModelHealthRequest()), provider_keys(request)
    )
    now = parts_of(request).clock.now()
    # Calls are noted by the real clock, which a local fleet's may be ahead of.
    rows = health_rows(health.models, datetime.now(UTC))
    view = models_page(prices, keys, now)
    return show(request, "models", "settings/models.html", view=view, health=rows)


@page("GET", _PRICE, ADMINS)
async def get_price(request: GatewayRequest) -> Response:
    """The prices of one model, to change; of the first when none is named."""
    price = await _price(request, asked(request, "model"))
    return show(
        request, "models", "settings/model_price.html", view=price_sheet(price), form=Form()
    )


@page("POST", _PRICE, ADMINS)
async def post_price(request: GatewayRequest) -> Response:
    """Sets a model's prices, or goes back to the book's."""
    chosen = await form_of(request, "model", "clear")
    price = await _price(request, chosen["model"])
    if chosen["clear"]:
        await clear_prices(request, price.model)
        return go(_PAGE, f"{price.model} costs what the price book says.")
    names = field_names(price)
    typed = await form_of(request, *names)
    try:
        await set_prices(request, prices_typed(price, typed))
    except FleetError as error:
        form, status_code = Form(typed).refused(error, names), problem_of(error).status
        view = price_sheet(price)
        return show(
            request,
            "models",
            "settings/model_price.html",
            status_code=status_code,
            view=view,
            form=form,
        )
    return go(_PAGE, f"{price.model} costs what you have set, from now on.")


@page("GET", _KEY, ADMINS)
async def get_key(request: GatewayRequest) -> Response:
    """Where a key of the tenant's own at one provider is set or forgotten."""
    row = await _key(request, asked(request, "provider"))
    return show(request, "models", "settings/provider_key.html", view=row, form=Form())


@page("POST", _KEY, ADMINS)
async def post_key(request: GatewayRequest) -> Response:
    """Sets a key once its provider takes it, or forgets the one there is."""
    typed = await form_of(request, "provider", "api_key", "forget")
    row = await _key(request, typed["provider"])
    if typed["forget"]:
        await forget_provider_key(request, row.provider)
        return go(_PAGE, f"Your key at {row.name} is forgotten.")
    try:
        await set_provider_key(request, row.provider, typed["api_key"].strip())
    except FleetError as error:
        form, status_code = Form({}).refused(error, ("api_key",)), problem_of(error).status
        return show(
            request,
            "models",
            "settings/provider_key.html",
            status_code=status_code,
            view=row,
            form=form,
        )
    return go(_PAGE, f"{row.name} is asked by your key from now on.")


async def _key(request: GatewayRequest, provider: str) -> KeyRow:
    rows = key_rows(await provider_keys(request), parts_of(request).clock.now())
    found = next((row for row in rows if row.provider == (provider or rows[0].provider)), None)
    if found is None:
        raise NotFound("no provider of that name takes a key of yours", field="provider")
    return found


async def _prices(request: GatewayRequest) -> pb.ListPricesResponse:
    return await call(parts_of(request).clients.model_settings.ListPrices, pb.ListPricesRequest())


async def _price(request: GatewayRequest, model: str) -> pb.ModelPrice:
    prices = (await _prices(request)).prices
    found = (price for price in prices if price.model == (model or prices[0].model))
    price = next(found, None)
    if price is None:
        raise NotFound("the price book has no such model", field="model")
    return price


HANDLERS: list[HTTPRouteHandler] = [get_models, get_price, post_price, get_key, post_key]
