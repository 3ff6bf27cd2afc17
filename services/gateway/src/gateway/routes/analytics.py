"""What happened, how fast, and what it cost."""

from typing import Annotated, Literal
from uuid import UUID

from fleetdesk.analytics.v1.analytics_service_pb2 import GetKpisRequest, SummarizeCostsRequest
from fleetdesk.analytics.v1.cost_pb2 import CostKey
from fleetdesk.analytics.v1.kpi_pb2 import KpiBucket
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.reading import as_asked
from gateway.shapes.common import TIME_SCHEMA, FromTime, ToTime, stamp_of, value_of
from gateway.shapes.kpis import Kpis
from gateway.shapes.money import Costs

GroupBy = Literal["conversation", "agent", "visitor", "model", "service", "purpose", "day"]
_KEY = "COST_KEY_"
AgentId = Annotated[UUID | None, QueryParameter(name="agent_id", description="Only of this agent.")]


@endpoint(
    "GET",
    "/v1/analytics/costs",
    Access(role=Role.VIEWER, scope="analytics:read"),
    tags=["Analytics"],
    summary="Add up what models cost",
)
async def get_costs(
    request: GatewayRequest,
    group_by: Annotated[GroupBy, QueryParameter(name="group_by", description="The groups' key.")],
    split_by: Annotated[
        GroupBy | None, QueryParameter(name="split_by", description="A second key.")
    ] = None,
    start: FromTime = None,
    end: ToTime = None,
    agent_id: AgentId = None,
    conversation_id: Annotated[
        UUID | None,
        QueryParameter(name="conversation_id", description="Only of this conversation."),
    ] = None,
) -> Costs:
    """Sums of the cost ledger, a few seconds behind it. Times are UTC where they name no zone."""
    wanted = SummarizeCostsRequest(
        group_by=value_of(CostKey, group_by, _KEY, "group_by"),
        split_by=value_of(CostKey, split_by, _KEY, "split_by"),
        start_time=stamp_of(start, "from"),
        end_time=stamp_of(end, "to"),
        agent_id=str(agent_id or ""),
        conversation_ids=[str(conversation_id)] if conversation_id else [],
    )
    with as_asked():
        sums = await call(parts_of(request).clients.analytics.SummarizeCosts, wanted)
    return Costs.of(sums, split=split_by is not None)


@endpoint(
    "GET",
    "/v1/analytics/kpis",
    Access(role=Role.VIEWER, scope="analytics:read"),
    tags=["Analytics"],
    summary="Get key figures",
)
async def get_kpis(
    request: GatewayRequest,
    start: Annotated[
        str, QueryParameter(name="from", description="First moment.", schema_extra=TIME_SCHEMA)
    ],
    end: Annotated[
        str,
        QueryParameter(
            name="to",
            description="End, exclusive: at most 366 days later, 31 by hour.",
            schema_extra=TIME_SCHEMA,
        ),
    ],
    agent_id: AgentId = None,
    bucket: Annotated[
        Literal["day", "hour"],
        QueryParameter(name="bucket", description="Width of the series' points.", required=False),
    ] = "day",
) -> Kpis:
    """Figures of conversations and answers, a few seconds behind them.

    Days and hours are UTC, and so are times that name no zone.
    """
    wanted = GetKpisRequest(
        start_time=stamp_of(start, "from"),
        end_time=stamp_of(end, "to"),
        agent_id=str(agent_id or ""),
        bucket=value_of(KpiBucket, bucket, "KPI_BUCKET_", "bucket"),
    )
    with as_asked():
        found = await call(parts_of(request).clients.analytics.GetKpis, wanted)
    return Kpis.of(found)


HANDLERS: list[HTTPRouteHandler] = [get_costs, get_kpis]
