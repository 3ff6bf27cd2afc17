"""Budgets: what may be spent on models, and where the tenant's days begin."""

from uuid import UUID

from fleetdesk.llm_gateway.v1 import budget_pb2
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetkit.errors import NotFound
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.noting import note
from gateway.routes.reading import request_id
from gateway.shapes.budgets import (
    Budget,
    BudgetList,
    BudgetStatus,
    CreateBudgetRequest,
    TimeZone,
    UpdateBudgetRequest,
)
from gateway.shapes.common import IdempotencyKey

_TAGS = ["Costs"]
_BUDGETS = "/v1/costs/budgets"
_BUDGET = "/v1/costs/budgets/{budget_id:uuid}"
_ZONE = "/v1/costs/time-zone"
_READ = Access(role=Role.VIEWER, scope="costs:read")
_WRITE = Access(role=Role.ADMIN, scope="costs:write")
_DELETE = Access(role=Role.ADMIN, scope="costs:write", body="none")


@endpoint("GET", _BUDGETS, _READ, tags=_TAGS, summary="List budgets")
async def get_budgets(request: GatewayRequest) -> BudgetList:
    """All budgets with what of them is spent, reserved, left and forecast now."""
    found = await list_budgets(request)
    return BudgetList([BudgetStatus.of(item) for item in found.items], found.time_zone)


@endpoint("POST", _BUDGETS, _WRITE, status_code=201, tags=_TAGS, summary="Make a budget")
async def post_budget(
    request: GatewayRequest,
    data: JSONBody[CreateBudgetRequest],
    idempotency_key: IdempotencyKey = "",
) -> Budget:
    """A limit for a day or a month; what was spent in the current one counts."""
    return Budget.of(await create_budget(request, data, idempotency_key))


@endpoint("GET", _BUDGET, _READ, tags=_TAGS, summary="Get a budget")
async def get_budget(request: GatewayRequest, budget_id: FromPath[UUID]) -> BudgetStatus:
    """A budget with what of it is spent, reserved, left and forecast now."""
    return BudgetStatus.of(await find_budget(request, budget_id))


@endpoint("PUT", _BUDGET, _WRITE, tags=_TAGS, summary="Change a budget")
async def put_budget(
    request: GatewayRequest, budget_id: FromPath[UUID], data: JSONBody[UpdateBudgetRequest]
) -> Budget:
    """Holds from the next call of a model on."""
    return Budget.of(await change_budget(request, budget_id, data))


@endpoint("DELETE", _BUDGET, _DELETE, status_code=204, tags=_TAGS, summary="Delete a budget")
async def delete_budget(request: GatewayRequest, budget_id: FromPath[UUID]) -> None:
    """Nothing is refused by it any more."""
    await drop_budget(request, budget_id)


@endpoint("GET", _ZONE, _READ, tags=_TAGS, summary="Get the time zone")
async def get_time_zone(request: GatewayRequest) -> TimeZone:
    """Where the tenant's days and months begin; UTC until it is set."""
    return TimeZone((await list_budgets(request)).time_zone)


@endpoint("PUT", _ZONE, _WRITE, tags=_TAGS, summary="Set the time zone")
async def put_time_zone(request: GatewayRequest, data: JSONBody[TimeZone]) -> TimeZone:
    """Budgets' current days and months begin there, too, and are counted again."""
    await set_time_zone(request, data.time_zone)
    return data


async def list_budgets(request: GatewayRequest) -> pb.ListBudgetsResponse:
    """All budgets; also for the page."""
    return await call(parts_of(request).clients.models.ListBudgets, pb.ListBudgetsRequest())


async def find_budget(request: GatewayRequest, budget_id: UUID) -> budget_pb2.BudgetStatus:
    """One of the tenant's at most 50; also for the page."""
    items = (await list_budgets(request)).items
    found = next((item for item in items if item.budget.budget_id == str(budget_id)), None)
    if found is None:
        raise NotFound("there is no such budget", field="budget_id")
    return found


async def create_budget(
    request: GatewayRequest, wanted: CreateBudgetRequest, idempotency_key: str = ""
) -> budget_pb2.Budget:
    """Makes a budget, and says so in the audit log; also for the page."""
    async with request_id(request, idempotency_key, wanted) as key:
        method = parts_of(request).clients.models.CreateBudget
        made = await call(method, wanted.message(key))
    await note(request, "budget.created", made.budget.budget_id)
    return made.budget


async def change_budget(
    request: GatewayRequest, budget_id: UUID, wanted: UpdateBudgetRequest
) -> budget_pb2.Budget:
    """Changes a budget, and says so in the audit log; also for the page."""
    changed = await call(parts_of(request).clients.models.UpdateBudget, wanted.message(budget_id))
    facts = {"limit_nanos": str(wanted.limit_nanos), "hard": str(wanted.hard).lower()}
    await note(request, "budget.changed", str(budget_id), **facts)
    return changed.budget


async def drop_budget(request: GatewayRequest, budget_id: UUID) -> None:
    """Deletes a budget, and says so in the audit log; also for the page."""
    # Asked once: a repeated deletion would find nothing to delete.
    method = parts_of(request).clients.models.DeleteBudget
    await method(pb.DeleteBudgetRequest(budget_id=str(budget_id)))
    await note(request, "budget.deleted", str(budget_id))


async def set_time_zone(request: GatewayRequest, time_zone: str) -> None:
    """Sets the time zone, and says so in the audit log; also for the page."""
    method = parts_of(request).clients.models.SetBudgetTimeZone
    await call(method, pb.SetBudgetTimeZoneRequest(time_zone=time_zone))
    await note(request, "time_zone.set", str(request.user.tenant_id), time_zone=time_zone)


HANDLERS: list[HTTPRouteHandler] = [
    get_budgets,
    post_budget,
    get_budget,
    put_budget,
    delete_budget,
    get_time_zone,
    put_time_zone,
]
