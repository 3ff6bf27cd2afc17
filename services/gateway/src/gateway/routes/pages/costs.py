"""What models cost."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from fleetdesk.analytics.v1 import analytics_service_pb2 as pb
from fleetdesk.analytics.v1 import cost_pb2
from fleetdesk.conversation.v1.agent_pb2 import Agent, AgentConfig
from fleetdesk.conversation.v1.conversation_service_pb2 import ListConversationsRequest
from fleetkit.errors import FailedPrecondition
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.resolution_price import resolution_nanos
from gateway.routes.agents import list_agents
from gateway.routes.pages.downloads import csv_file
from gateway.routes.pages.reading import asked, asked_of
from gateway.routes.pages.showing import page, show
from gateway.routes.savings import read_caching, read_savings
from gateway.shapes.agents import estimate_request
from gateway.shapes.common import stamp_of
from gateway.views.costs import (
    CSV_HEAD,
    RANGES,
    SPLITS,
    Asked,
    Names,
    Sums,
    cost_rows,
    costs_page,
    csv_rows,
    day_asked,
    period_of,
    start_of,
)
from gateway.views.savings import caching_section, savings_section
from gateway.views.tiers import Estimated, TiersSection, tiers_section

_TITLED = 200
_ESTIMATED = 20
_KEYS = {
    "model": cost_pb2.COST_KEY_MODEL,
    "service": cost_pb2.COST_KEY_SERVICE,
    "agent": cost_pb2.COST_KEY_AGENT,
    "purpose": cost_pb2.COST_KEY_PURPOSE,
}


@page("GET", "/costs")
async def get_costs(request: GatewayRequest) -> Response:
    """Sums of the ledger, as CSV by conversation when asked so."""
    now = parts_of(request).clock.now()
    wanted = Asked(
        day=day_asked(asked(request, "day"), now),
        range=asked_of(request, "range", RANGES, "month"),
        by=asked_of(request, "by", SPLITS, "model"),
        sort=asked_of(request, "sort", ("title", "amount", "share"), "amount"),
        descending=asked(request, "dir") != "asc",
        exact=asked(request, "exact") == "1",
    )
    sums, titles, agents = await asyncio.gather(
        _sums(request, wanted, now), _titles(request), list_agents(request)
    )
    if asked(request, "format") == "csv":
        rows = cost_rows(sums.range_groups, titles, sums.range_total)
        return csv_file("costs.csv", CSV_HEAD, csv_rows(rows))
    names = Names(titles, {agent.agent_id: agent.draft.name for agent in agents})
    view = costs_page(sums, names, wanted, now)
    period = period_of(wanted, now)
    tiers, saved, cached = await asyncio.gather(
        _tiers(request, period, agents),
        read_savings(request, *period),
        read_caching(request, *period),
    )
    return show(
        request,
        "costs",
        "costs/costs.html",
        view=view,
        tiers=tiers,
        savings=savings_section(saved[0].savings, saved[1]),
        caching=caching_section(cached, names.agents, view.range_label, now),
    )


async def _sums(request: GatewayRequest, wanted: Asked, now: datetime) -> Sums:
    method = parts_of(request).clients.analytics.SummarizeCosts

    async def sums_of(
        period: tuple[datetime, datetime],
        group_by: "cost_pb2.CostKey.ValueType",
        split_by: "cost_pb2.CostKey.ValueType" = cost_pb2.COST_KEY_UNSPECIFIED,
    ) -> pb.SummarizeCostsResponse:
        return await call(
            method,
            pb.SummarizeCostsRequest(
                group_by=group_by,
                split_by=split_by,
                start_time=stamp_of(period[0], "from"),
                end_time=stamp_of(period[1], "to"),
            ),
        )

    tomorrow = start_of("today", now) + timedelta(days=1)
    period = period_of(wanted, now)
    of_today, of_month, of_range, by_day, by_model = await asyncio.gather(
        sums_of((start_of("today", now), tomorrow), cost_pb2.COST_KEY_SERVICE),
        sums_of((start_of("month", now), tomorrow), cost_pb2.COST_KEY_CONVERSATION),
        sums_of(period, cost_pb2.COST_KEY_CONVERSATION),
        sums_of(period, cost_pb2.COST_KEY_DAY, _KEYS[wanted.by]),
        sums_of(period, cost_pb2.COST_KEY_MODEL),
    )
    return Sums(
        today=of_today.total_nanos,
        month=of_month.total_nanos,
        month_groups=of_month.groups,
        month_left_out=of_month.left_out_groups,
        range_total=of_range.total_nanos,
        range_groups=of_range.groups,
        range_left_out=of_range.left_out_groups,
        day_groups=by_day.groups,
        model_groups=by_model.groups,
    )


async def _titles(request: GatewayRequest) -> dict[str, str]:
    """First questions of the latest conversations, by id."""
    found = await call(
        parts_of(request).clients.conversations.ListConversations,
        ListConversationsRequest(page_size=_TITLED),
    )
    return {item.conversation_id: item.title for item in found.conversations if item.title}


async def _tiers(
    request: GatewayRequest, period: tuple[datetime, datetime], agents: Sequence[Agent]
) -> TiersSection | None:
    """The answers by tier, and the bounds of the agents that have a ladder."""
    clients = parts_of(request).clients
    wanted = pb.GetTiersRequest(
        start_time=stamp_of(period[0], "from"), end_time=stamp_of(period[1], "to")
    )
    laddered = [agent.published for agent in agents if agent.published.next_models]
    figures, price_nanos, estimated = await asyncio.gather(
        call(clients.analytics.GetTiers, wanted),
        resolution_nanos(clients),
        asyncio.gather(*(_estimated(request, config) for config in laddered[:_ESTIMATED])),
    )
    bounds = [each for each in estimated if each is not None]
    return tiers_section(figures.tiers, bounds, price_nanos)


async def _estimated(request: GatewayRequest, config: AgentConfig) -> Estimated | None:
    """None when no model of the agent is served any more."""
    method = parts_of(request).clients.models.EstimateAnswer
    try:
        bounds = await call(method, estimate_request(config))
    except FailedPrecondition:
        return None
    return Estimated(config.name, config.difficult_share_millis, bounds)


HANDLERS: list[HTTPRouteHandler] = [get_costs]
