"""Sums by the hour: what is kept beside the facts is what the facts say, whatever comes when."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from analytics.figures import of_turns
from analytics.hours import parts, refresh_all
from analytics.rebuild import check_rebuild, rebuild
from analytics.store.kpis import TurnsRow
from fleetdesk.analytics.v1 import analytics_service_pb2 as pb
from fleetdesk.analytics.v1 import cost_pb2, kpi_pb2
from fleetdesk.gateway.v1.events_pb2 import ErasureRequested
from fleetkit.errors import FailedPrecondition
from fleetkit.rpc.fields import timestamp
from harness.services import Running
from harness.telling import MONDAY, Story

Tell = Callable[..., Awaitable[None]]
FRIDAY = MONDAY + timedelta(days=4)


def stories(seed: int, count: int = 12) -> list[Story]:
    """Conversations of two agents over four days, with what they cost."""
    random = Random(seed)
    agents = [str(UUID(int=random.getrandbits(128))) for _ in range(2)]
    made: list[Story] = []
    for number in range(count):
        began = MONDAY + timedelta(minutes=random.randrange(4 * 24 * 60))
        story = Story(began=began, agent_id=agents[number % 2]).starts().asks()
        story.ends(
            random.choice(["answered", "clarify", "handoff"]),
            first_token_ms=random.randrange(1, 2000),
            duration_ms=random.randrange(1, 9000),
        )
        if number % 3 == 0:
            story.becomes("resolved")
        made.append(story.costs(random.randrange(1, 10**9), random.randrange(1, 10**9)))
    return made


async def kpis(stub: Any, start: datetime, end: datetime, agent_id: str = "") -> Any:
    return await stub.GetKpis(
        pb.GetKpisRequest(
            start_time=timestamp(start),
            end_time=timestamp(end),
            bucket=kpi_pb2.KPI_BUCKET_HOUR,
            agent_id=agent_id,
        )
    )


async def costs(stub: Any, start: datetime | None, end: datetime | None, key: str) -> Any:
    request = pb.SummarizeCostsRequest(
        group_by=cost_pb2.CostKey.Value(f"COST_KEY_{key}"),
        start_time=timestamp(start) if start else None,
        end_time=timestamp(end) if end else None,
    )
    return await stub.SummarizeCosts(request)


class TestSums:
    async def test_are_what_the_facts_say_in_any_order_and_after_late_ones(
        self, analytics: Running, stub: Any, tell: Tell, as_identity: Any, tenant_id: UUID
    ) -> None:
        told = stories(1)
        events = [event for story in told for event in story.events]
        Random(2).shuffle(events)
        first, late = events[: len(events) // 2], events[len(events) // 2 :]
        await tell(*first)
        with as_identity(tenant_id):
            before = await kpis(stub, MONDAY, FRIDAY)
            await tell(*late, *first)
            found = await kpis(stub, MONDAY, FRIDAY)
        assert before.current.turns.total < found.current.turns.total == len(told)
        assert found.current.conversations.total == len(told)
        assert found.current.conversations.closed == 4
        assert sum(point.conversations.total for point in found.series) == len(told)
        spent = sum(
            entry.amount_nanos
            for event in events
            if hasattr(event, "entries")
            for entry in event.entries
        )
        assert found.current.conversations_nanos == spent
        assert await analytics.rows("select from hour_mark") == []
        await check_rebuild(analytics.db)

    async def test_of_any_period_are_those_of_its_facts(
        self, analytics: Running, stub: Any, tell: Tell, as_identity: Any, tenant_id: UUID
    ) -> None:
        """Also where it begins and ends within an hour."""
        told = stories(3, 24)
        await tell(*(event for story in told for event in story.events))
        turns = await analytics.rows("select occur_time, first_token_ms from turn")
        entries = await analytics.rows("select create_time, amount_nanos from cost_entry")
        random = Random(4)
        with as_identity(tenant_id):
            for _ in range(12):
                start = MONDAY + timedelta(seconds=random.randrange(3 * 24 * 3600))
                end = start + timedelta(seconds=random.randrange(1, 30 * 3600))
                found = await kpis(stub, start, end)
                times = [r["first_token_ms"] for r in turns if start <= r["occur_time"] < end]
                assert found.current.first_token.count == len(times)
                if times:
                    expected = np.percentile(times, [50, 95, 99], method="inverted_cdf")
                    made = found.current.first_token
                    assert [made.p50_ms, made.p95_ms, made.p99_ms] == expected.tolist()
                summed = await costs(stub, start, end, "MODEL")
                assert summed.total_nanos == sum(
                    row["amount_nanos"] for row in entries if start <= row["create_time"] < end
                )
            everything = await costs(stub, None, None, "AGENT")
            by_fact = await costs(stub, None, None, "VISITOR")
        assert everything.total_nanos == by_fact.total_nanos > 0

    async def test_stay_when_a_visitor_is_erased_and_go_with_the_tenant(
        self, analytics: Running, stub: Any, tell: Tell, as_identity: Any, tenant_id: UUID
    ) -> None:
        told = stories(5, 4)
        await tell(*(event for story in told for event in story.events))
        with as_identity(tenant_id):
            before = await kpis(stub, MONDAY, FRIDAY)
            one = ErasureRequested(
                erasure_id=told[0].conversation_id,
                visitor_id=told[0].visitor_id,
                conversation_ids=[told[0].conversation_id],
                revision=1,
            )
            await tell(one)
            assert await kpis(stub, MONDAY, FRIDAY) == before
            await check_rebuild(analytics.db)
            await tell(ErasureRequested(erasure_id=told[1].conversation_id, revision=1))
            assert (await kpis(stub, MONDAY, FRIDAY)).current.turns.total == 0
        for table in ("hour_mark", "turn_hour", "conversation_hour", "cost_hour"):
            assert await analytics.rows(f"select from {table}") == []

    async def test_are_compared_and_derived_anew_by_command(
        self, analytics: Running, tell: Tell, tenant_id: UUID, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await tell(*(event for story in stories(6) for event in story.events))
        await refresh_all(analytics.db)
        kept = "select * from turn_hour order by hour, agent_id"
        expected = await analytics.rows(kept)
        async with analytics.db.tenant(tenant_id) as conn:
            await conn.execute("update turn_hour set answered = answered + 1")
            await conn.execute("delete from cost_hour")
        with pytest.raises(FailedPrecondition):
            await check_rebuild(analytics.db)
        assert "cost_hour" in capsys.readouterr().out
        await rebuild(analytics.db)
        await check_rebuild(analytics.db)
        assert await analytics.rows(kept) == expected

    async def test_of_another_tenant_are_not_seen(
        self, stub: Any, tell: Tell, as_identity: Any, other_tenant_id: UUID
    ) -> None:
        await tell(*(event for story in stories(7, 2) for event in story.events))
        with as_identity(other_tenant_id):
            assert (await kpis(stub, MONDAY, FRIDAY)).current.turns.total == 0
            assert (await costs(stub, None, None, "MODEL")).total_nanos == 0


class TestParts:
    @pytest.mark.parametrize(
        ("start", "end", "hours", "edges"),
        [
            ((10, 0), (13, 0), (10, 13), []),
            ((10, 1), (13, 0), (11, 13), [((10, 1), (11, 0))]),
            ((10, 0), (13, 59), (10, 13), [((13, 0), (13, 59))]),
            ((10, 30), (12, 30), (11, 12), [((10, 30), (11, 0)), ((12, 0), (12, 30))]),
            ((10, 30), (11, 30), (11, 11), [((10, 30), (11, 30))]),
            ((10, 10), (10, 20), (11, 11), [((10, 10), (10, 20))]),
        ],
    )
    def test_are_the_whole_hours_and_what_is_beside_them(
        self, start: Any, end: Any, hours: Any, edges: Any
    ) -> None:
        def at(hour: int, minute: int = 0) -> datetime:
            return datetime(2026, 11, 16, hour, minute, tzinfo=UTC)

        made = parts(UUID(int=1), at(*start), at(*end))
        assert (made.first, made.last) == (at(hours[0]), at(hours[1]))
        found = list(zip(made.edges.starts, made.edges.ends, strict=True))
        assert found == [(at(*begin), at(*until)) for begin, until in edges]


def test_a_mean_is_rounded_and_without_values_there_are_no_percentiles() -> None:
    row = TurnsRow(
        bucket=MONDAY,
        total=3,
        answered=2,
        clarify=0,
        handoff=0,
        canceled=0,
        failed=1,
        confidence_millis=1_401,
        first_token_ms=b"",
        duration_ms=b"",
    )
    made = of_turns([row])
    assert (made.mean_confidence_millis, made.first_token_ms, made.timed) == (701, None, 0)
