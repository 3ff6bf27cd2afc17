"""GetKpis: counts, shares, percentiles and costs of a period, and of the one before."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from fleetdesk.analytics.v1 import analytics_service_pb2 as pb
from fleetdesk.analytics.v1 import kpi_pb2
from fleetdesk.conversation.v1 import conversation_pb2 as conversation
from fleetkit.errors import InvalidArgument
from fleetkit.rpc.fields import timestamp
from harness.access import assert_refuses_strangers
from harness.services import Running
from harness.telling import MONDAY, Story

As = Callable[..., Any]
Tell = Callable[..., Awaitable[None]]
SERVICE = "fleetdesk.analytics.v1.AnalyticsService"
WEEK_START = datetime(2026, 11, 16, tzinfo=UTC)


def week(start: datetime = WEEK_START, days: float = 7, **fields: Any) -> pb.GetKpisRequest:
    return pb.GetKpisRequest(
        start_time=timestamp(start), end_time=timestamp(start + timedelta(days=days)), **fields
    )


class TestGetKpis:
    async def test_refuses_strangers(self, analytics: Running) -> None:
        await assert_refuses_strangers(analytics, f"{SERVICE}.GetKpis", week())

    async def test_another_tenant_sees_zeros(
        self, stub: Any, tell: Tell, as_identity: As, other_tenant_id: UUID
    ) -> None:
        await tell(*Story().asks().ends().hands_over().costs(700).events)
        with as_identity(other_tenant_id, role="owner"):
            found = await stub.GetKpis(week(), timeout=10)
        assert found.current.conversations == kpi_pb2.ConversationCounts()
        assert found.current.turns == kpi_pb2.TurnCounts()
        assert found.current.conversations_nanos == 0
        assert len(found.current.handoffs) == 0
        assert len(found.series) == 7

    async def test_counts_each_conversation_once_by_what_became_of_it(
        self, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        stories = [
            Story().asks().ends().asks().ends(),
            Story().asks().ends().becomes("resolved"),
            Story().asks().ends("clarify"),
            Story().asks().ends("unspecified", status=conversation.MESSAGE_STATUS_FAILED),
            Story().asks().ends("unspecified", status=conversation.MESSAGE_STATUS_CANCELED),
            Story().asks().ends("handoff", handoff_reason=1).hands_over("missing_knowledge"),
            Story().asks().ends().hands_over("missing_knowledge").becomes("resolved"),
            Story().asks().hands_over("visitor_request"),
            Story().starts(),
        ]
        for story in stories:
            await tell(*story.events)
        with as_identity(tenant_id):
            found = (await stub.GetKpis(week(), timeout=10)).current
        assert found.conversations == kpi_pb2.ConversationCounts(
            total=8, handed_over=3, answered_alone=2, clarify=1, unanswered=2, closed=2
        )
        assert found.turns == kpi_pb2.TurnCounts(
            total=8, answered=4, clarify=1, handoff=1, canceled=1, failed=1
        )
        assert [(each.reason, each.conversations) for each in found.handoffs] == [
            (conversation.HANDOFF_REASON_MISSING_KNOWLEDGE, 2),
            (conversation.HANDOFF_REASON_VISITOR_REQUEST, 1),
        ]

    async def test_percentiles_are_those_of_every_value(
        self, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        values = list(range(1, 201))
        Random(7).shuffle(values)
        story = Story().asks()
        for value in values:
            story.ends(first_token_ms=value, duration_ms=value * 10)
        story.ends("unspecified", status=conversation.MESSAGE_STATUS_FAILED, first_token_ms=9_999)
        await tell(*story.events)
        with as_identity(tenant_id):
            found = (await stub.GetKpis(week(), timeout=10)).current
        assert found.first_token == kpi_pb2.Percentiles(
            count=200, p50_ms=100, p95_ms=190, p99_ms=198
        )
        assert found.full_answer.p95_ms == 1_900

    async def test_means_are_of_answers_and_costs_are_rounded_half_even_once(
        self, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        await tell(*Story().asks().ends(confidence_millis=900).costs(7).events)
        await tell(*Story().asks().ends(confidence_millis=700).costs(0).events)
        with as_identity(tenant_id):
            found = (await stub.GetKpis(week(), timeout=10)).current
        assert found.mean_confidence_millis == 800
        assert (found.conversations_nanos, found.per_conversation_nanos) == (7, 4)

    async def test_stands_beside_the_period_before(
        self, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        for days in (-8, -7, -1, 0, 6, 7):
            await tell(*Story(MONDAY + timedelta(days=days)).asks().ends().costs(10).events)
        with as_identity(tenant_id):
            found = await stub.GetKpis(week(), timeout=10)
        assert found.current.conversations.total == 2
        assert found.previous.conversations.total == 2
        assert found.previous.end_time == found.current.start_time
        assert found.targets.handed_over_millis == 250

    async def test_has_a_point_for_every_day_or_hour(
        self, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        await tell(*Story(MONDAY + timedelta(days=2)).asks().ends(first_token_ms=70).events)
        await tell(*Story(MONDAY + timedelta(days=2)).asks().hands_over().costs(9).events)
        with as_identity(tenant_id):
            by_day = await stub.GetKpis(week(), timeout=10)
            by_hour = await stub.GetKpis(week(bucket=kpi_pb2.KPI_BUCKET_HOUR), timeout=10)
        totals = [point.conversations.total for point in by_day.series]
        assert totals == [0, 0, 2, 0, 0, 0, 0]
        wednesday = by_day.series[2]
        assert wednesday.start_time == timestamp(WEEK_START + timedelta(days=2))
        assert (wednesday.conversations.handed_over, wednesday.conversations_nanos) == (1, 9)
        assert wednesday.first_token == kpi_pb2.Percentiles(
            count=1, p50_ms=70, p95_ms=70, p99_ms=70
        )
        assert len(by_hour.series) == 7 * 24
        busy = [point for point in by_hour.series if point.conversations.total]
        assert [point.start_time for point in busy] == [timestamp(MONDAY + timedelta(days=2))]

    async def test_may_be_of_one_agent(
        self, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        mine = Story().asks().ends().costs(5)
        await tell(*mine.events, *Story().asks().ends().costs(90).events)
        with as_identity(tenant_id):
            found = (await stub.GetKpis(week(agent_id=mine.agent_id), timeout=10)).current
        assert (found.conversations.total, found.turns.total) == (1, 1)
        assert found.conversations_nanos == 5

    async def test_names_the_field_that_is_wrong(
        self, stub: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        wrong = [
            (pb.GetKpisRequest(end_time=timestamp(MONDAY)), "start_time"),
            (pb.GetKpisRequest(start_time=timestamp(MONDAY)), "end_time"),
            (week(days=0), "start_time"),
            (week(days=-1), "start_time"),
            (week(days=367), "end_time"),
            (week(days=32, bucket=kpi_pb2.KPI_BUCKET_HOUR), "end_time"),
            (week(start=datetime(1999, 1, 1, tzinfo=UTC)), "start_time"),
            (week(agent_id="x"), "agent_id"),
        ]
        with as_identity(tenant_id):
            for request, field in wrong:
                with pytest.raises(InvalidArgument) as caught:
                    await stub.GetKpis(request, timeout=10)
                assert caught.value.field == field, request
