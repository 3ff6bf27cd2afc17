"""GetTiers: which models of their ladders answered, and what an answer of each cost."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fleetdesk.analytics.v1 import analytics_service_pb2 as pb
from fleetkit.errors import InvalidArgument
from fleetkit.rpc.fields import timestamp
from harness.access import assert_refuses_strangers
from harness.services import Running
from harness.telling import Story

As = Callable[..., Any]
Tell = Callable[..., Awaitable[None]]
START = datetime(2026, 11, 16, tzinfo=UTC)


def week(days: float = 7, **fields: Any) -> pb.GetTiersRequest:
    end = timestamp(START + timedelta(days=days))
    return pb.GetTiersRequest(start_time=timestamp(START), end_time=end, **fields)


class TestGetTiers:
    async def test_refuses_strangers(self, analytics: Running) -> None:
        method = "fleetdesk.analytics.v1.AnalyticsService.GetTiers"
        await assert_refuses_strangers(analytics, method, week())

    async def test_counts_answers_and_their_whole_cost_beside_the_plan(
        self,
        stub: Any,
        tell: Tell,
        as_identity: As,
        tenant_id: UUID,
        other_tenant_id: UUID,
    ) -> None:
        story = Story().asks()
        for tier, amounts in ((1, (100,)), (1, (101, 2)), (2, (100, 400)), (0, (9,))):
            message_id = story.ends(tier=tier).events[-1].message_id
            for amount in amounts:
                story.costs(amount, message_id=message_id)
        await tell(*story.events)
        with as_identity(tenant_id):
            found = (await stub.GetTiers(week(), timeout=10)).tiers
            of_agent = (await stub.GetTiers(week(agent_id=story.agent_id), timeout=10)).tiers
            other = (await stub.GetTiers(week(agent_id=str(tenant_id)), timeout=10)).tiers
        assert [(t.tier, t.answers, t.share_millis, t.per_answer_nanos) for t in found] == [
            (1, 2, 667, 102),
            (2, 1, 333, 500),
            (3, 0, 0, 0),
        ]
        assert [t.planned_share_millis for t in found] == [600, 250, 150]
        assert [t.planned_nanos for t in found] == [60_000_000, 80_000_000, 400_000_000]
        assert of_agent == found
        assert sum(tier.answers for tier in other) == 0
        with as_identity(other_tenant_id):
            elsewhere = (await stub.GetTiers(week(), timeout=10)).tiers
        assert sum(tier.answers for tier in elsewhere) == 0

    async def test_bad_periods_name_the_field(
        self, stub: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        for days, field in ((0, "start_time"), (367, "end_time")):
            with as_identity(tenant_id), pytest.raises(InvalidArgument) as refused:
                await stub.GetTiers(week(days), timeout=10)
            assert refused.value.field == field
