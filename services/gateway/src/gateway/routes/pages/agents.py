"""Agent: how it answers, what that costs at most, and what is published."""

import asyncio
from uuid import UUID

from fleetdesk.conversation.v1 import agent_pb2
from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as models_pb
from fleetkit.errors import FailedPrecondition, FleetError, InvalidArgument, NotFound
from fleetkit.ids import new_id
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.routes.agents import (
    change_draft,
    create_agent,
    estimate,
    list_agents,
    list_versions,
    publish_draft,
    roll_back,
)
from gateway.routes.pages.reading import asked, form_of, number_of
from gateway.routes.pages.showing import ADMINS, go, page, show
from gateway.shapes.agents import AgentConfig
from gateway.views.agents import (
    ADVANCED,
    FIELDS,
    PATH,
    PRESETS,
    Cost,
    agent_page,
    config_typed,
    cost_of,
    cost_unknown,
    field_asked,
    found_agent,
    typed_of,
)
from gateway.views.forms import Form
from gateway.views.frame import link

_NEW = f"{PATH}/new"


@page("GET", PATH)
async def get_agent(request: GatewayRequest) -> Response:
    """The draft, beside what is published."""
    return await _show(request, asked(request, "agent"))


@page("POST", PATH, ADMINS)
async def post_agent(request: GatewayRequest) -> Response:
    """Saves the draft, and publishes it where that was the button."""
    typed = await form_of(request, "agent_id", "revision", "then", *FIELDS)
    agent_id = _id_of(typed["agent_id"])
    try:
        revision = number_of(typed["revision"] or "0")
        if revision is None:
            raise InvalidArgument("the form is damaged: load the page again", field="revision")
        await change_draft(request, agent_id, config_typed(typed).message(), revision)
    except FleetError as error:
        error.field = field_asked(error.field)
        form = Form(typed).refused(error, FIELDS)
        return await _show(request, str(agent_id), form, problem_of(error).status)
    if typed["then"] != "publish":
        return go(
            link(PATH, agent=str(agent_id)),
            "The draft was saved; visitors get it once it is published.",
        )
    agent = await publish_draft(request, agent_id, new_id())
    return go(
        link(PATH, agent=str(agent_id)),
        f"Version {agent.published_version} is published: conversations that begin now get it.",
    )


@page("POST", f"{PATH}/rollback", ADMINS)
async def post_rollback(request: GatewayRequest) -> Response:
    """Publishes an earlier version's settings again."""
    typed = await form_of(request, "agent_id", "version")
    agent_id = _id_of(typed["agent_id"])
    version = number_of(typed["version"])
    if version is None:
        raise NotFound("there is no such version", field="version")
    agent = await roll_back(request, agent_id, version, new_id())
    return go(
        link(PATH, agent=str(agent_id)),
        f"Version {agent.published_version} has the settings of version {version}.",
    )


@page("POST", f"{PATH}/discard", ADMINS)
async def post_discard(request: GatewayRequest) -> Response:
    """Makes the draft what is published."""
    typed = await form_of(request, "agent_id")
    agent = found_agent(await list_agents(request), str(_id_of(typed["agent_id"])))
    if not agent.HasField("published"):
        raise FailedPrecondition("the agent is not published: there is nothing to go back to")
    agent_id = UUID(agent.agent_id)
    await change_draft(request, agent_id, agent.published, agent.revision)
    return go(link(PATH, agent=agent.agent_id), "The draft is again what visitors get.")


@page("GET", _NEW, ADMINS)
async def get_new(request: GatewayRequest) -> Response:
    """Asks how a further agent is called."""
    return show(request, "agent", "agents/new.html", form=Form())


@page("POST", _NEW, ADMINS)
async def post_new(request: GatewayRequest) -> Response:
    """Makes an agent, unpublished."""
    typed = await form_of(request, "name")
    key = new_id()
    try:
        await create_agent(request, key, AgentConfig(name=typed["name"].strip()), publish=False)
    except FleetError as error:
        error.field = field_asked(error.field)
        form, status_code = Form(typed).refused(error, ("name",)), problem_of(error).status
        return show(request, "agent", "agents/new.html", status_code=status_code, form=form)
    return go(link(PATH, agent=str(key)), "The agent is made; publish it when it is ready.")


async def _show(
    request: GatewayRequest, agent_id: str, form: Form | None = None, status_code: int = 200
) -> Response:
    agents = await list_agents(request)
    if not agents:
        return show(request, "agent", "agents/none.html")
    agent = found_agent(agents, agent_id)
    versions, prices, cost = await asyncio.gather(
        list_versions(request, UUID(agent.agent_id)),
        call(parts_of(request).clients.model_settings.ListPrices, models_pb.ListPricesRequest()),
        _cost(request, agent.draft),
    )
    now = parts_of(request).clock.now()
    view = agent_page(agent, agents, versions, prices.prices, cost, now)
    form = form or Form(typed_of(agent.draft))
    return show(
        request,
        "agent",
        "agents/agent.html",
        status_code=status_code,
        view=view,
        form=form,
        presets=PRESETS,
        is_advanced_open=any(form.errors.get(name) for name in ADVANCED),
    )


async def _cost(request: GatewayRequest, draft: agent_pb2.AgentConfig) -> Cost:
    try:
        return cost_of(await estimate(request, draft))
    except FailedPrecondition as error:
        # A model that is not set up any more: the page is where another one is chosen.
        return cost_unknown(error)


def _id_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound("there is no such agent", field="agent_id") from error


HANDLERS: list[HTTPRouteHandler] = [
    get_agent,
    post_agent,
    post_rollback,
    post_discard,
    get_new,
    post_new,
]
