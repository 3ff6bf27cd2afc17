"""Settings → General: where the company's days begin."""

from functools import cache
from zoneinfo import available_timezones

from fleetkit.errors import FleetError
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from gateway.parts import GatewayRequest
from gateway.problems import problem_of
from gateway.routes.budgets import list_budgets, set_time_zone
from gateway.routes.pages.reading import form_of
from gateway.routes.pages.showing import ADMINS, go, page, show
from gateway.views.forms import Form

_PAGE = "/settings/general"
_MAX_CHARS = 64


@page("GET", _PAGE)
async def get_general(request: GatewayRequest) -> Response:
    """The time zone."""
    return await _show(request, Form())


@page("POST", _PAGE, ADMINS)
async def post_general(request: GatewayRequest) -> Response:
    """Sets the time zone."""
    typed = await form_of(request, "time_zone")
    time_zone = typed["time_zone"].strip()[:_MAX_CHARS]
    try:
        await set_time_zone(request, time_zone)
    except FleetError as error:
        form = Form(typed).refused(error, ("time_zone",))
        return await _show(request, form, problem_of(error).status)
    return go(_PAGE, f"Days and months of budgets begin in {time_zone} now.")


async def _show(request: GatewayRequest, form: Form, status_code: int = 200) -> Response:
    current = (await list_budgets(request)).time_zone
    return show(
        request,
        "general",
        "settings/general.html",
        status_code=status_code,
        form=form,
        time_zone=current,
        zones=_zones(),
    )


@cache
def _zones() -> tuple[str, ...]:
    """Names to choose from: places, without the old names of countries and fixed offsets."""
    old = ("Etc/", "SystemV/", "US/", "Canada/", "Brazil/", "Chile/", "Mexico/")
    places = (name for name in available_timezones() if "/" in name and not name.startswith(old))
    return ("UTC", *sorted(places))


HANDLERS: list[HTTPRouteHandler] = [get_general, post_general]
