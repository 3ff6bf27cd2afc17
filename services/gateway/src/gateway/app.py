"""The HTTP application: routes, their admission, and errors as problem documents."""

from functools import cache, partial

from litestar import Litestar
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from gateway.admission import Admission
from gateway.edge import Edge
from gateway.openapi import describe
from gateway.parts import STATE_KEY, GatewayRequest, Parts
from gateway.routes import (
    agents,
    analytics,
    api_keys,
    budgets,
    conversations,
    erasures,
    evaluations,
    experiments,
    exports,
    frames,
    health,
    identity,
    knowledge,
    knowledge_conflicts,
    knowledge_index,
    messages,
    models,
    money,
    savings,
    team,
    widget,
)
from gateway.routes.pages.errors import handle_outside
from gateway.routes.pages.index import PAGES

API: list[HTTPRouteHandler] = [
    *identity.HANDLERS,
    *api_keys.HANDLERS,
    *agents.HANDLERS,
    *team.HANDLERS,
    *widget.HANDLERS,
    *knowledge.HANDLERS,
    *knowledge_conflicts.HANDLERS,
    *knowledge_index.HANDLERS,
    *evaluations.HANDLERS,
    *experiments.HANDLERS,
    *conversations.HANDLERS,
    *messages.HANDLERS,
    *erasures.HANDLERS,
    *analytics.HANDLERS,
    *savings.HANDLERS,
    *frames.HANDLERS,
    *budgets.HANDLERS,
    *exports.HANDLERS,
    *models.HANDLERS,
    *money.HANDLERS,
    *health.HANDLERS,
]


def create_app(parts: Parts) -> Litestar:
    """The Litestar app: everything that has a route."""

    def admitted(app: ASGIApp) -> ASGIApp:
        return Admission(app, parts)

    return Litestar(
        route_handlers=[*API, *PAGES],
        middleware=[admitted],
        exception_handlers={Exception: handle_outside, HTTPException: handle_outside},
        openapi_config=None,
        request_class=GatewayRequest,
        state=State({STATE_KEY: parts, health.DESCRIPTION_KEY: cache(partial(describe, API))}),
        logging_config=None,
    )


def create_served_app(parts: Parts) -> ASGIApp:
    """What uvicorn serves: the app behind its edge."""
    return Edge(create_app(parts), parts.settings)
