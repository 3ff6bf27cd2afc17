"""Pages of erasures: asking for one, and receipts, also for those who cannot sign in any more."""

from uuid import UUID

from fleetkit.errors import FleetError, InvalidArgument
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.access import Access
from gateway.auth.principal import Role
from gateway.erasures import erase_tenant, erase_visitor, erasure_of_receipt, list_erasures
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.requests import client_ip_of
from gateway.routes.pages.reading import asked, form_of
from gateway.routes.pages.showing import ADMINS, ANYONE, go, page, show, show_plain
from gateway.views.erasures import receipt, receipts
from gateway.views.forms import Form

_OWNER = Access(role=Role.OWNER, body="form", local=True)
_SHOWN = 50
_LAST = UUID(int=(1 << 128) - 1)


@page("GET", "/settings/erasure", ADMINS)
async def get_erasure_page(request: GatewayRequest) -> Response:
    """What was erased, and the forms that ask for more."""
    return await _show(request, Form({"visitor_id": asked(request, "visitor")}))


@page("POST", "/settings/erasure/visitor", ADMINS)
async def post_erase_visitor(request: GatewayRequest) -> Response:
    """Erases a visitor."""
    typed = await form_of(request, "visitor_id")
    try:
        visitor_id = _visitor_of(typed["visitor_id"])
        made = await erase_visitor(
            parts_of(request), request.user, visitor_id, client_ip_of(request.scope)
        )
    except FleetError as error:
        form = Form(typed).refused(error, ("visitor_id",))
        return await _show(request, form, problem_of(error).status)
    return go(f"/erasures/{made.token}")


@page("POST", "/settings/erasure/company", _OWNER)
async def post_erase_company(request: GatewayRequest) -> Response:
    """Erases the whole company once its name was typed."""
    typed = await form_of(request, "confirm")
    try:
        made = await erase_tenant(
            parts_of(request), request.user, typed["confirm"], client_ip_of(request.scope)
        )
    except FleetError as error:
        form = Form(typed).refused(error, ("confirm",))
        return await _show(request, form, problem_of(error).status)
    return go(f"/erasures/{made.token}")


@page("GET", "/erasures/{token:str}", ANYONE)
async def get_receipt(request: GatewayRequest, token: FromPath[str]) -> Response:
    """The receipt that a token opens."""
    parts = parts_of(request)
    found = await erasure_of_receipt(parts.db, token[:100])
    view = receipt(found, parts.clock.now())
    return show_plain(request, "erasures/receipt.html", view=view)


async def _show(request: GatewayRequest, form: Form, status_code: int = 200) -> Response:
    parts = parts_of(request)
    found = await list_erasures(parts.db, request.user.tenant_id, _SHOWN, _LAST)
    return show(
        request,
        "erasure",
        "settings/erasure.html",
        status_code=status_code,
        rows=receipts(found, parts.clock.now()),
        company=request.user.company,
        is_owner=request.user.role is Role.OWNER,
        form=form,
    )


def _visitor_of(text: str) -> UUID:
    try:
        return UUID(text.strip())
    except ValueError as error:
        raise InvalidArgument(
            "a visitor's id is a UUID: choose “Erase this visitor” on one of its conversations",
            field="visitor_id",
        ) from error


HANDLERS: list[HTTPRouteHandler] = [
    get_erasure_page,
    post_erase_visitor,
    post_erase_company,
    get_receipt,
]
