"""What models cost."""

import asyncio
from datetime import UTC, datetime

from fleetdesk.analytics.v1 import analytics_service_pb2 as pb
from fleetdesk.analytics.v1 import cost_pb2
from fleetdesk.conversation.v1.conversation_service_pb2 import ListConversationsRequest
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.pages.downloads import csv_file
from gateway.routes.pages.reading import asked, asked_of
from gateway.routes.pages.showing import page, show
from gateway.shapes.common import stamp_of
from gateway.views.costs import (
    CSV_HEAD,
    RANGES,
    SPLITS,
    Asked,
    Sums,
    cost_rows,
    costs_page,
    csv_rows,
    start_of,
)

_TITLED = 200
_KEYS = {
    "model": cost_pb2.COST_KEY_MODEL,
    "service": cost_pb2.COST_KEY_SERVICE,
    "purpose": cost_pb2.COST_KEY_PURPOSE,
}


@page("GET", "/costs")
async def get_costs(request: GatewayRequest) -> Response:
    """Sums of the ledger, as CSV by conversation when asked so."""
    wanted = Asked(
        range=asked_of(request, "range", RANGES, "month"),
        by=asked_of(request, "by", SPLITS, "model"),
        sort=asked_of(request, "sort", ("title", "amount", "share"), "amount"),
        descending=asked(request, "dir") != "asc",
        exact=asked(request, "exact") == "1",
    )
    now = parts_of(request).clock.now()
    sums, titles = await asyncio.gather(_sums(request, wanted, now), _titles(request))
    if asked(request, "format") == "csv":
        rows = cost_rows(sums.range_groups, titles, sums.range_total)
        return csv_file("costs.csv", CSV_HEAD, csv_rows(rows))
    view = costs_page(sums, titles, wanted, now)
    return show(request, "costs", "costs/costs.html", view=view)


async def _sums(request: GatewayRequest, wanted: Asked, now: datetime) -> Sums:
    method = parts_of(request).clients.analytics.SummarizeCosts

    async def since(
        start: datetime,
        group_by: "cost_pb2.CostKey.ValueType",
        split_by: "cost_pb2.CostKey.ValueType" = cost_pb2.COST_KEY_UNSPECIFIED,
    ) -> pb.SummarizeCostsResponse:
        return await call(
            method,
            pb.SummarizeCostsRequest(
                group_by=group_by, split_by=split_by, start_time=stamp_of(start, "from")
            ),
        )

    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = start_of(wanted.range, now)
    of_today, of_month, of_range, by_day = await asyncio.gather(
        since(today, cost_pb2.COST_KEY_SERVICE),
        since(start_of("month", now), cost_pb2.COST_KEY_CONVERSATION),
        since(start, cost_pb2.COST_KEY_CONVERSATION),
        since(start, cost_pb2.COST_KEY_DAY, _KEYS[wanted.by]),
    )
    return Sums(
        today=of_today.total_nanos,
        month=of_month.total_nanos,
        month_groups=of_month.groups,
        range_total=of_range.total_nanos,
        range_groups=of_range.groups,
        day_groups=by_day.groups,
    )


async def _titles(request: GatewayRequest) -> dict[str, str]:
    """First questions of the latest conversations, by id."""
    found = await call(
        parts_of(request).clients.conversations.ListConversations,
        ListConversationsRequest(page_size=_TITLED),
    )
    return {item.conversation_id: item.title for item in found.conversations if item.title}


HANDLERS: list[HTTPRouteHandler] = [get_costs]
