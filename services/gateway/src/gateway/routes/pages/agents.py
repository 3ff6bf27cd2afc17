"""Agent: how it answers, what that costs at most, what is published, and trying its draft."""

import asyncio
from uuid import UUID

from fleetdesk.conversation.v1 import agent_pb2
from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as models_pb
from fleetkit.errors import FailedPrecondition, FleetError, InvalidArgument, NotFound
from fleetkit.ids import new_id
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from gateway import turns
from gateway.access import Access
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.problems import problem_of
from gateway.routes.agents import (
    agents_listed,
    change_draft,
    create_agent,
    estimate,
    list_agents,
    list_versions,
    publish_draft,
    roll_back,
)
from gateway.routes.pages.reading import asked, form_of, number_of, uuid_of
from gateway.routes.pages.showing import ADMINS, go, is_partial, page, show
from gateway.routes.pages.trials import ask, read_trial
from gateway.shapes.agents import AgentConfig
from gateway.shapes.conversations import MAX_TEXT_BYTES
from gateway.text import checked_text
from gateway.views.agents import (
    ADVANCED,
    FIELDS,
    PATH,
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
from gateway.views.manners import CUSTOM, begun, manners_of, settled
from gateway.views.trials import FRAGMENT, Trial

_NEW = f"{PATH}/new"
_TRIES = Access(role=Role.ADMIN, body="form", limit="message", timeout_s=turns.TURN_S)


@page("GET", PATH)
async def get_agent(request: GatewayRequest) -> Response:
    """The draft, beside what is published, and a trial of it; for htmx the trial alone."""
    agent_id, trial_id = asked(request, "agent"), asked(request, "trial")
    if is_partial(request):
        return _show_trial(request, await read_trial(request, agent_id, trial_id))
    return await _show(request, agent_id, trial_id=trial_id)


@page("POST", PATH, ADMINS)
async def post_agent(request: GatewayRequest) -> Response:
    """Saves the draft, and publishes it where that was the button."""
    typed = await form_of(request, "agent_id", "revision", "then", "trial", *FIELDS)
    agent_id = uuid_of(typed["agent_id"], "agent")
    try:
        revision = number_of(typed["revision"] or "0")
        if revision is None:
            raise InvalidArgument("the form is damaged: load the page again", field="revision")
        asked_for = config_typed(typed)
        config = await _settled(request, agent_id, asked_for)
        await change_draft(request, agent_id, config.message(), revision)
    except FleetError as error:
        error.field = field_asked(error.field)
        form = Form(typed).refused(error, FIELDS)
        status = problem_of(error).status
        return await _show(request, str(agent_id), form, status, trial_id=typed["trial"])
    if typed["then"] != "publish":
        return go(
            link(PATH, agent=str(agent_id), trial=typed["trial"]),
            _saved(asked_for, config),
        )
    agent = await publish_draft(request, agent_id, new_id())
    return go(
        link(PATH, agent=str(agent_id), trial=typed["trial"]),
        f"Version {agent.published_version} is published: conversations that begin now get it.",
    )


@page("POST", f"{PATH}/trial", _TRIES)
async def post_trial(request: GatewayRequest) -> Response:
    """Asks the draft; the first question begins the trial.

    htmx gets the trial once the answer has begun, and looks again until it is whole; without
    script the page comes with the whole answer.
    """
    typed = await form_of(request, "agent_id", "trial", "text", "request_id")
    agent_id = str(uuid_of(typed["agent_id"], "agent"))
    key = uuid_of(typed["request_id"], "form")
    partial = is_partial(request)
    trial = await read_trial(request, agent_id, typed["trial"])
    try:
        text = checked_text(typed["text"], "text", MAX_TEXT_BYTES)
        trial = await ask(request, trial, text, key, to_the_end=not partial)
    except NotFound:
        raise
    except FleetError as error:
        question = Form(typed).refused(error, ("text",))
        if not partial:
            status = problem_of(error).status
            return await _show(
                request, agent_id, None, status, trial_id=trial.trial_id, question=question
            )
        return _show_trial(request, trial, question)
    return _show_trial(request, trial) if partial else go(f"{trial.href}#{FRAGMENT}")


@page("POST", f"{PATH}/rollback", ADMINS)
async def post_rollback(request: GatewayRequest) -> Response:
    """Publishes an earlier version's settings again."""
    typed = await form_of(request, "agent_id", "version")
    agent_id = uuid_of(typed["agent_id"], "agent")
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
    agent = found_agent(await list_agents(request), str(uuid_of(typed["agent_id"], "agent")))
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
    manners = manners_of((await agents_listed(request)).presets)
    try:
        config = begun(typed["name"].strip(), manners)
        await create_agent(request, key, config, publish=False)
    except FleetError as error:
        error.field = field_asked(error.field)
        form, status_code = Form(typed).refused(error, ("name",)), problem_of(error).status
        return show(request, "agent", "agents/new.html", status_code=status_code, form=form)
    return go(link(PATH, agent=str(key)), "The agent is made; publish it when it is ready.")


def _show_trial(request: GatewayRequest, trial: Trial, question: Form | None = None) -> Response:
    """The trial alone, and where it stands as the page's address."""
    response = show(
        request,
        "agent",
        "agents/_trial.html",
        trial=trial,
        question=question or Form(),
        request_id=str(new_id()),
        is_alone=True,
    )
    response.headers["HX-Replace-Url"] = trial.href
    return response


async def _settled(request: GatewayRequest, agent_id: UUID, config: AgentConfig) -> AgentConfig:
    """The settings that were sent, as the choice of a manner means them."""
    listed = await agents_listed(request)
    before = AgentConfig.of(found_agent(listed.agents, str(agent_id)).draft)
    return settled(config, before, manners_of(listed.presets))


def _saved(asked_for: AgentConfig, config: AgentConfig) -> str:
    said = "The draft was saved; visitors get it once it is published."
    if config.preset == CUSTOM != asked_for.preset:
        said += " Its manner is Custom now, with the words of the one that you changed."
    return said


async def _show(
    request: GatewayRequest,
    agent_id: str,
    form: Form | None = None,
    status_code: int = 200,
    *,
    trial_id: str = "",
    question: Form | None = None,
) -> Response:
    listed = await agents_listed(request)
    agents = listed.agents
    if not agents:
        return show(request, "agent", "agents/none.html")
    agent = found_agent(agents, agent_id)
    versions, prices, cost, trial = await asyncio.gather(
        list_versions(request, UUID(agent.agent_id)),
        call(parts_of(request).clients.model_settings.ListPrices, models_pb.ListPricesRequest()),
        _cost(request, agent.draft),
        read_trial(request, agent.agent_id, trial_id),
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
        manners=manners_of(listed.presets),
        is_advanced_open=any(form.errors.get(name) for name in ADVANCED),
        trial=trial,
        question=question or Form(),
        request_id=str(new_id()),
        is_alone=False,
    )


async def _cost(request: GatewayRequest, draft: agent_pb2.AgentConfig) -> Cost:
    try:
        return cost_of(await estimate(request, draft))
    except FailedPrecondition as error:
        # A model that is not set up any more: the page is where another one is chosen.
        return cost_unknown(error)


HANDLERS: list[HTTPRouteHandler] = [
    get_agent,
    post_agent,
    post_trial,
    post_rollback,
    post_discard,
    get_new,
    post_new,
]
