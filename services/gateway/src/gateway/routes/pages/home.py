"""Where a person lands, the health dot, and the page to try the widget on."""

import asyncio
from uuid import UUID

from fleetdesk.analytics.v1.analytics_service_pb2 import GetKpisRequest, SummarizeCostsRequest
from fleetdesk.analytics.v1.cost_pb2 import COST_KEY_SERVICE
from fleetdesk.billing.v1.billing_service_pb2 import GetSubscriptionRequest
from fleetdesk.conversation.v1.agent_service_pb2 import ListAgentsRequest
from fleetdesk.conversation.v1.conversation_service_pb2 import ListConversationsRequest
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2 import ListModelsRequest
from fleetdesk.retrieval.v1.retrieval_service_pb2 import ListSourcesRequest
from fleetkit.errors import FleetError, NotFound
from fleetkit.rpc.fields import timestamp
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from gateway.access import Access
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.origins import own_origin
from gateway.parts import GatewayRequest, parts_of
from gateway.rendering import WIDGET
from gateway.requests import Head
from gateway.routes.agents import list_agents
from gateway.routes.pages.reading import asked, asked_of
from gateway.routes.pages.showing import page, render, show
from gateway.shapes.common import stamp_of
from gateway.views.health import ServiceHealth, health_view
from gateway.views.home import RANGES, HomePage, first_page, home_page, period_of
from gateway.views.settings import chosen_agent, published_agents, snippet

_PROBE_S = 2.0
_LATEST = 50
_ANYONE = Access(role=Role.VIEWER, anonymous=True, body="none")


@page("GET", "/")
async def get_home(request: GatewayRequest) -> Response:
    """How it is going; for a company without conversations, what to do next."""
    parts = parts_of(request)
    wanted = asked_of(request, "range", RANGES, "7d")
    start, end = period_of(wanted, parts.clock.now())
    found = await call(
        parts.clients.analytics.GetKpis,
        GetKpisRequest(start_time=stamp_of(start, "from"), end_time=stamp_of(end, "to")),
    )
    view = home_page(found, wanted)
    begun = found.current.conversations.total + found.previous.conversations.total
    if not begun and not await _has_talked(request):
        view = await _first_page(request)
    return show(request, "home", "home.html", view=view)


async def _has_talked(request: GatewayRequest) -> bool:
    """Whether any of the latest conversations has a message; some are only opened."""
    found = await call(
        parts_of(request).clients.conversations.ListConversations,
        ListConversationsRequest(page_size=_LATEST),
    )
    return any(item.message_count for item in found.conversations)


async def _first_page(request: GatewayRequest) -> HomePage:
    found = await call(
        parts_of(request).clients.retrieval.ListSources, ListSourcesRequest(page_size=1)
    )
    role = request.user.role
    return first_page(
        knows_something=bool(found.sources), may_edit=role is not None and role >= Role.AGENT
    )


@page("GET", "/health-dot")
async def get_health_dot(request: GatewayRequest) -> Response:
    """Whether each service answers a small question of this person's."""
    clients = parts_of(request).clients
    now = timestamp(parts_of(request).clock.now())
    probes = {
        "conversation": clients.agents.ListAgents(ListAgentsRequest(), timeout=_PROBE_S),
        "retrieval": clients.retrieval.ListSources(
            ListSourcesRequest(page_size=1), timeout=_PROBE_S
        ),
        "llm-gateway": clients.models.ListModels(ListModelsRequest(), timeout=_PROBE_S),
        "billing": clients.billing.GetSubscription(GetSubscriptionRequest(), timeout=_PROBE_S),
        "analytics": clients.analytics.SummarizeCosts(
            SummarizeCostsRequest(group_by=COST_KEY_SERVICE, start_time=now, end_time=now),
            timeout=_PROBE_S,
        ),
    }
    answers = await asyncio.gather(*probes.values(), return_exceptions=True)
    services = [
        ServiceHealth(name, not isinstance(answer, FleetError) or isinstance(answer, NotFound))
        for name, answer in zip(probes, answers, strict=True)
    ]
    return render(request, "health.html", health=health_view(services))


@page("GET", "/widget-preview", _ANYONE)
async def get_widget_preview(request: GatewayRequest) -> Response:
    """A page with the widget's script tag, as a customer places it.

    `?agent=` says which agent; whoever is signed in may leave it out. `?lang=` is handed on.
    """
    agent_id = await _agent_id(request)
    lang = asked(request, "lang")
    origin = own_origin(parts_of(request).settings, Head(request.scope))
    return render(
        request,
        "widget_preview.html",
        agent_id=agent_id,
        lang=lang if lang.isalpha() and len(lang) <= 3 else "en",
        script_src=f"/{WIDGET}",
        snippet=snippet(origin, agent_id),
    )


async def _agent_id(request: GatewayRequest) -> str:
    wanted = asked(request, "agent")
    if wanted:
        try:
            return str(UUID(wanted))
        except ValueError as error:
            raise NotFound("there is no such agent", field="agent") from error
    if request.user is None or request.user.role is None:
        raise NotFound("the address names no agent: add ?agent=<its id>", field="agent")
    agent = chosen_agent(published_agents(await list_agents(request)), "")
    if agent is None:
        raise NotFound("no agent is published yet", field="agent")
    return agent.agent_id


HANDLERS: list[HTTPRouteHandler] = [get_home, get_health_dot, get_widget_preview]
