"""Costs → Budgets: what may be spent on models."""

from collections.abc import Mapping
from uuid import UUID

from fleetdesk.llm_gateway.v1 import budget_pb2
from fleetkit.errors import FleetError
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.routes.agents import list_agents
from gateway.routes.budgets import (
    change_budget,
    create_budget,
    drop_budget,
    find_budget,
    list_budgets,
)
from gateway.routes.pages.reading import form_of
from gateway.routes.pages.showing import ADMINS, go, page, show
from gateway.views.budgets import (
    CHANGE_FIELDS,
    CREATE_FIELDS,
    KINDS,
    PERIODS,
    BudgetSheet,
    budget_sheet,
    budget_typed,
    budgets_page,
    change_typed,
    field_asked,
    new_sheet,
)
from gateway.views.forms import Form

_PAGE = "/costs/budgets"
_BUDGET = "/costs/budgets/{budget_id:uuid}"
_SHEET = "costs/budget.html"


@page("GET", _PAGE)
async def get_budgets(request: GatewayRequest) -> Response:
    """The budgets, each with its current windows."""
    found, agents = await list_budgets(request), await _agents(request)
    view = budgets_page(found.items, found.time_zone, agents, parts_of(request).clock.now())
    return show(request, "budgets", "costs/budgets.html", view=view)


@page("GET", f"{_PAGE}/new", ADMINS)
async def get_new(request: GatewayRequest) -> Response:
    """The form of a new budget."""
    sheet = new_sheet(await _agents(request))
    return _sheet(request, sheet, Form(sheet.typed))


@page("POST", _PAGE, ADMINS)
async def post_budget(request: GatewayRequest) -> Response:
    """Makes a budget."""
    typed = await form_of(request, *CREATE_FIELDS)
    try:
        await create_budget(request, budget_typed(typed))
    except FleetError as error:
        return _refused(request, new_sheet(await _agents(request)), typed, error)
    return go(_PAGE, "The budget holds from the next call of a model on.")


@page("GET", _BUDGET, ADMINS)
async def get_budget(request: GatewayRequest, budget_id: FromPath[UUID]) -> Response:
    """The form of a budget that there is."""
    sheet = budget_sheet(await _found(request, budget_id), await _agents(request))
    return _sheet(request, sheet, Form(sheet.typed))


@page("POST", _BUDGET, ADMINS)
async def post_change(request: GatewayRequest, budget_id: FromPath[UUID]) -> Response:
    """Changes a budget."""
    typed = await form_of(request, *CHANGE_FIELDS)
    try:
        await change_budget(request, budget_id, change_typed(typed))
    except FleetError as error:
        sheet = budget_sheet(await _found(request, budget_id), await _agents(request))
        return _refused(request, sheet, typed, error)
    return go(_PAGE, "The change holds from the next call of a model on.")


@page("GET", f"{_BUDGET}/delete", ADMINS)
async def get_delete(request: GatewayRequest, budget_id: FromPath[UUID]) -> Response:
    """Asks whether to delete."""
    sheet = budget_sheet(await _found(request, budget_id), await _agents(request))
    return show(request, "budgets", "costs/delete_budget.html", view=sheet)


@page("POST", f"{_BUDGET}/delete", ADMINS)
async def post_delete(request: GatewayRequest, budget_id: FromPath[UUID]) -> Response:
    """Deletes a budget."""
    await drop_budget(request, budget_id)
    return go(_PAGE, "The budget was deleted; nothing is refused by it any more.")


def _sheet(
    request: GatewayRequest, sheet: BudgetSheet, form: Form, status_code: int = 200
) -> Response:
    return show(
        request,
        "budgets",
        _SHEET,
        status_code=status_code,
        view=sheet,
        form=form,
        periods=PERIODS,
        kinds=KINDS,
    )


def _refused(
    request: GatewayRequest, sheet: BudgetSheet, typed: dict[str, str], error: FleetError
) -> Response:
    error.field = field_asked(error.field)
    form = Form(typed).refused(error, CREATE_FIELDS if not sheet.budget_id else CHANGE_FIELDS)
    return _sheet(request, sheet, form, problem_of(error).status)


async def _found(request: GatewayRequest, budget_id: UUID) -> budget_pb2.Budget:
    return (await find_budget(request, budget_id)).budget


async def _agents(request: GatewayRequest) -> Mapping[str, str]:
    """Names of agents by id."""
    return {agent.agent_id: agent.draft.name for agent in await list_agents(request)}


HANDLERS: list[HTTPRouteHandler] = [
    get_budgets,
    get_new,
    post_budget,
    get_budget,
    post_change,
    get_delete,
    post_delete,
]
