"""AnalyticsService: translate, call, translate."""

from dataclasses import asdict

from fleetdesk.analytics.v1 import analytics_service_pb2 as pb
from fleetdesk.analytics.v1 import cost_pb2, kpi_pb2, saving_pb2, tier_pb2
from fleetdesk.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceServicer
from fleetdesk.conversation.v1 import conversation_pb2
from fleetkit.context import tenant_id
from fleetkit.errors import InvalidArgument
from fleetkit.postgres import Database
from fleetkit.rpc.fields import timestamp, to_optional_time, to_optional_uuid, to_time, to_uuid
from grpc.aio import ServicerContext

from analytics import caching_alerts, costs, experiments, kpis, savings, tiers
from analytics.experiment_wire import to_arm, to_figures
from analytics.figures import Conversations
from analytics.kpis import Kpis, Point
from analytics.savings import Caching, Savings
from analytics.store.costs import CostFilter
from analytics.store.kpis import Period, Width
from analytics.targets import TARGETS

_KEYS = dict(zip(cost_pb2.CostKey.values()[1:], costs.KEYS, strict=True))
_WIDTHS: dict[int, Width] = {
    kpi_pb2.KPI_BUCKET_UNSPECIFIED: "day",
    kpi_pb2.KPI_BUCKET_DAY: "day",
    kpi_pb2.KPI_BUCKET_HOUR: "hour",
}


class AnalyticsApi(AnalyticsServiceServicer):
    """The RPCs of analytics."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def SummarizeCosts(
        self, request: pb.SummarizeCostsRequest, context: ServicerContext
    ) -> pb.SummarizeCostsResponse:
        group_by = _KEYS.get(request.group_by)
        if group_by is None:
            raise InvalidArgument(
                f"group_by is not set: use one of {', '.join(costs.KEYS)}", field="group_by"
            )
        if request.split_by and request.split_by not in _KEYS:
            raise InvalidArgument("split_by is not a known key", field="split_by")
        split_by = _KEYS.get(request.split_by, "")
        made = await costs.summarize(self._db, tenant_id(), group_by, split_by, _filter(request))
        groups = [
            cost_pb2.CostGroup(
                key=group.key,
                split_key=group.split_key,
                amount_nanos=group.amount_nanos,
                saved_nanos=group.saved_nanos,
                unconfirmed_nanos=group.unconfirmed_nanos,
                direct_nanos=group.direct_nanos,
            )
            for group in made.groups
        ]
        return pb.SummarizeCostsResponse(
            total_nanos=made.total_nanos,
            groups=groups,
            left_out_groups=made.left_out_groups,
            left_out_nanos=made.left_out_nanos,
        )

    async def GetSavings(
        self, request: pb.GetSavingsRequest, context: ServicerContext
    ) -> pb.GetSavingsResponse:
        start, end = to_time(request, "start_time"), to_time(request, "end_time")
        made = await savings.get_savings(self._db, tenant_id(), start, end)
        return pb.GetSavingsResponse(savings=_savings(made))

    async def GetCaching(
        self, request: pb.GetCachingRequest, context: ServicerContext
    ) -> pb.GetCachingResponse:
        start, end = to_time(request, "start_time"), to_time(request, "end_time")
        total, items = await savings.get_caching(self._db, tenant_id(), start, end)
        alert = await caching_alerts.open_alert(self._db, tenant_id())
        return pb.GetCachingResponse(
            alert=saving_pb2.CachingAlert(
                begin_time=timestamp(alert.begin_time), hit_rate_millis=alert.hit_rate_millis
            )
            if alert
            else None,
            total=_caching(total),
            items=[_caching(item) for item in items],
            target_hit_rate_millis=TARGETS.cache_hit_rate_millis,
        )

    async def GetKpis(
        self, request: pb.GetKpisRequest, context: ServicerContext
    ) -> pb.GetKpisResponse:
        width = _WIDTHS.get(request.bucket)
        if width is None:
            raise InvalidArgument("bucket is not known: use hour or day", field="bucket")
        period = Period(
            start_time=to_time(request, "start_time"),
            end_time=to_time(request, "end_time"),
            agent_id=to_optional_uuid(request.agent_id, "agent_id"),
        )
        current, previous = await kpis.get_kpis(self._db, tenant_id(), period, width)
        return pb.GetKpisResponse(
            current=_kpis(current),
            previous=_kpis(previous),
            series=[_point(point) for point in current.points],
            targets=_targets(),
        )

    async def GetTiers(
        self, request: pb.GetTiersRequest, context: ServicerContext
    ) -> pb.GetTiersResponse:
        found = await tiers.get_tiers(
            self._db,
            tenant_id(),
            to_time(request, "start_time"),
            to_time(request, "end_time"),
            to_optional_uuid(request.agent_id, "agent_id"),
        )
        return pb.GetTiersResponse(tiers=[tier_pb2.TierFigures(**asdict(tier)) for tier in found])

    async def GetExperimentFigures(
        self, request: pb.GetExperimentFiguresRequest, context: ServicerContext
    ) -> pb.GetExperimentFiguresResponse:
        experiment_id = to_uuid(request.experiment_id, "experiment_id")
        control, challenger = await experiments.get_experiment(self._db, tenant_id(), experiment_id)
        return pb.GetExperimentFiguresResponse(
            control=to_arm(control),
            challenger=to_arm(challenger),
            difference=to_figures(experiments.difference(control, challenger)),
        )


def _filter(request: pb.SummarizeCostsRequest) -> CostFilter:
    return CostFilter(
        start_time=to_optional_time(request, "start_time"),
        end_time=to_optional_time(request, "end_time"),
        agent_id=to_optional_uuid(request.agent_id, "agent_id"),
        conversation_ids=tuple(
            to_uuid(each, "conversation_ids") for each in request.conversation_ids
        ),
        service=request.service or None,
        model=request.model or None,
        purpose=request.purpose or None,
    )


def _savings(made: Savings) -> saving_pb2.Savings:
    frames = made.frames
    return saving_pb2.Savings(
        actual_nanos=made.actual_nanos,
        unconfirmed_nanos=made.unconfirmed_nanos,
        baseline_nanos=made.baseline_nanos,
        routing_nanos=made.routing_nanos,
        prompt_caching_nanos=made.prompt_caching_nanos,
        response_cache_nanos=made.response_cache_nanos,
        frames_nanos=frames.saved_nanos,
        lines=[
            saving_pb2.SavingLine(
                model=line.model,
                kind=line.kind,
                price_nanos_per_million=line.price_nanos_per_million,
                units=line.units,
                amount_nanos=line.amount_nanos,
                uncached_nanos=line.amount_nanos + line.saved_nanos,
                baseline_nanos=line.baseline_nanos,
            )
            for line in made.lines
        ],
        frames=saving_pb2.FrameSaving(
            **asdict(frames.counts), read_nanos=frames.read_nanos, saved_nanos=frames.saved_nanos
        ),
    )


def _caching(made: Caching) -> saving_pb2.CachingFigures:
    return saving_pb2.CachingFigures(
        agent_id=str(made.agent_id or ""),
        model=made.model,
        read_tokens=made.read_tokens,
        written_5m_tokens=made.written_5m_tokens,
        written_1h_tokens=made.written_1h_tokens,
        uncached_tokens=made.uncached_tokens,
        hit_rate_millis=made.hit_rate_millis,
        premium_nanos=made.premium_nanos,
        read_saved_nanos=made.read_saved_nanos,
        saved_nanos=made.saved_nanos,
    )


def _kpis(made: Kpis) -> kpi_pb2.Kpis:
    turns = made.turns
    return kpi_pb2.Kpis(
        start_time=timestamp(made.period.start_time),
        end_time=timestamp(made.period.end_time),
        conversations=_counts(made.conversations),
        turns=kpi_pb2.TurnCounts(
            total=turns.total,
            answered=turns.answered,
            clarify=turns.clarify,
            handoff=turns.handoff,
            canceled=turns.canceled,
            failed=turns.failed,
        ),
        handoffs=[
            kpi_pb2.HandoffCount(
                reason=conversation_pb2.HandoffReason.Value(f"HANDOFF_REASON_{row.reason.upper()}"),
                conversations=row.conversations,
            )
            for row in made.reasons
        ],
        mean_confidence_millis=turns.mean_confidence_millis,
        first_token=_percentiles(turns.timed, turns.first_token_ms),
        full_answer=_percentiles(turns.timed, turns.duration_ms),
        conversations_nanos=made.conversations.amount_nanos,
        per_conversation_nanos=made.per_conversation_nanos,
    )


def _point(point: Point) -> kpi_pb2.KpiPoint:
    return kpi_pb2.KpiPoint(
        start_time=timestamp(point.start_time),
        conversations=_counts(point.conversations),
        conversations_nanos=point.conversations.amount_nanos,
        first_token=_percentiles(point.turns.timed, point.turns.first_token_ms),
        full_answer=_percentiles(point.turns.timed, point.turns.duration_ms),
    )


def _counts(row: Conversations) -> kpi_pb2.ConversationCounts:
    return kpi_pb2.ConversationCounts(
        total=row.total,
        handed_over=row.handed_over,
        answered_alone=row.answered_alone,
        clarify=row.clarify,
        unanswered=row.unanswered,
        closed=row.closed,
    )


def _percentiles(count: int, values: list[int] | None) -> kpi_pb2.Percentiles:
    if not values:
        return kpi_pb2.Percentiles()
    p50, p95, p99 = values
    return kpi_pb2.Percentiles(count=count, p50_ms=p50, p95_ms=p95, p99_ms=p99)


def _targets() -> kpi_pb2.KpiTargets:
    return kpi_pb2.KpiTargets(
        conversations_per_week=TARGETS.conversations_per_week,
        answered_alone_millis=TARGETS.answered_alone_millis,
        handed_over_millis=TARGETS.handed_over_millis,
        first_token_p95_ms=TARGETS.first_token_p95_ms,
        per_conversation_nanos=TARGETS.per_conversation_nanos,
    )
