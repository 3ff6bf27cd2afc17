"""GetSavings and GetCaching: what was saved, each part of ledger rows of its own."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from analytics.rebuild import check_rebuild
from analytics.savings import frames_saved
from analytics.store.savings import FrameCountRow
from fleetdesk.analytics.v1 import analytics_service_pb2 as pb
from fleetdesk.analytics.v1 import events_pb2
from fleetdesk.llm_gateway.v1 import usage_pb2
from fleetdesk.vision_agent.v1 import events_pb2 as vision
from fleetkit.errors import InvalidArgument
from fleetkit.rpc.fields import timestamp
from harness.access import assert_refuses_strangers
from harness.services import Running
from harness.telling import MONDAY, usage

As = Callable[..., Any]
Tell = Callable[..., Awaitable[None]]
SERVICE = "fleetdesk.analytics.v1.AnalyticsService"
PERIOD: Any = {
    "start_time": timestamp(MONDAY - timedelta(minutes=20)),
    "end_time": timestamp(MONDAY + timedelta(hours=3, minutes=20)),
}


def units(kind: str, count: int, price: int, uncached: int, baseline: int, **fields: Any) -> Any:
    """A call with one entry: prices in nano-dollars a unit, for short."""
    amount = count * price
    event = usage(
        amount,
        saved_nanos=count * uncached - amount,
        price_nanos_per_million=price * 10**6,
        baseline_nanos=count * baseline,
        **fields,
    )
    event.entries[0].kind, event.entries[0].units = kind, count
    return event


def frames(captured: int, kept: int, superseded: int, read: int) -> vision.FramesCounted:
    event = vision.FramesCounted(
        event_id=str(uuid4()),
        revision=1,
        conversation_id=str(uuid4()),
        session_id=str(uuid4()),
        captured_count=captured,
        kept_count=kept,
        superseded_count=superseded,
        read_count=read,
    )
    event.occur_time.FromDatetime(MONDAY)
    return event


HAIKU: Any = {"provider": "anthropic", "model": "haiku"}
AGENT, OTHER = str(uuid4()), str(uuid4())


def calls() -> list[Any]:
    """Haiku at 100 a token of input, opus at 4,000; output at 500 and 20,000."""
    return [
        units("input_token", 50, 100, 100, 4_000, agent_id=AGENT, **HAIKU),
        units("cache_read_token", 800, 10, 100, 4_000, agent_id=AGENT, **HAIKU),
        units("cache_write_5m_token", 100, 125, 100, 4_000, agent_id=AGENT, **HAIKU),
        units("cache_write_1h_token", 100, 200, 100, 4_000, agent_id=OTHER, **HAIKU),
        units("output_token", 20, 500, 500, 20_000, agent_id=AGENT, **HAIKU),
        units("response_cache_hit", 1, 0, 7_000, 90_000, agent_id=AGENT, **HAIKU),
        units("compute_us", 30, 1, 1, 1, purpose="screen"),
    ]


class TestAccess:
    @pytest.mark.parametrize("name", ["GetSavings", "GetCaching"])
    async def test_strangers_and_other_tenants_see_nothing(
        self, analytics: Running, stub: Any, tell: Tell, as_identity: As, name: str
    ) -> None:
        request = getattr(pb, f"{name}Request")(**PERIOD)
        await assert_refuses_strangers(analytics, f"{SERVICE}.{name}", request)
        await tell(*calls(), frames(10, 2, 0, 2))
        with as_identity(uuid4(), role="owner"):
            found = await getattr(stub, name)(request, timeout=10)
        if name == "GetSavings":
            assert (found.savings.baseline_nanos, found.savings.frames.captured_count) == (0, 0)
        else:
            assert (found.total.read_tokens, len(found.items)) == (0, 0)

    async def test_need_a_period(self, stub: Any, as_identity: As, tenant_id: UUID) -> None:
        later = timestamp(MONDAY + timedelta(days=367))
        wrong = [
            ({"end_time": later}, "start_time"),
            ({"start_time": later}, "end_time"),
            ({"start_time": later, "end_time": timestamp(MONDAY)}, "start_time"),
            ({"start_time": timestamp(MONDAY), "end_time": later}, "end_time"),
        ]
        with as_identity(tenant_id):
            for fields, field in wrong:
                for method, request in (
                    (stub.GetSavings, pb.GetSavingsRequest(**fields)),
                    (stub.GetCaching, pb.GetCachingRequest(**fields)),
                ):
                    with pytest.raises(InvalidArgument) as caught:
                        await method(request, timeout=10)
                    assert caught.value.field == field


class TestGetSavings:
    async def test_the_parts_and_what_was_paid_are_the_baseline(
        self, analytics: Running, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        unsure = units("input_token", 4, 100, 100, 100, **HAIKU)
        unsure.entries[0].status = usage_pb2.USAGE_STATUS_UNCONFIRMED
        outside = units("input_token", 9, 100, 100, 4_000, when=MONDAY - timedelta(hours=1))
        await tell(*calls(), unsure, outside, frames(100, 12, 2, 8), frames(5, 1, 0, 2))
        with as_identity(tenant_id):
            found = (await stub.GetSavings(pb.GetSavingsRequest(**PERIOD), timeout=10)).savings
        paid = 50 * 100 + 800 * 10 + 100 * 125 + 100 * 200 + 20 * 500 + 30 + 400
        assert (found.actual_nanos, found.unconfirmed_nanos) == (paid, 400)
        assert found.prompt_caching_nanos == 800 * 90 - 100 * 25 - 100 * 100
        assert found.response_cache_nanos == 7_000
        assert found.routing_nanos == 1_050 * 3_900 + 20 * 19_500 + (90_000 - 7_000)
        # 92 + 2 duplicates and superseded... at 30 nano-dollars for 10 that were read.
        assert found.frames.duplicate_count == 88 + 4
        assert (found.frames.superseded_count, found.frames.read_count) == (2, 10)
        assert (found.frames.read_nanos, found.frames_nanos) == (30, 282)
        assert found.baseline_nanos == (
            found.actual_nanos
            + found.routing_nanos
            + found.prompt_caching_nanos
            + found.response_cache_nanos
            + found.frames_nanos
        )
        lines = {(line.model, line.kind): line for line in found.lines}
        read = lines["anthropic/haiku", "cache_read_token"]
        assert (read.units, read.price_nanos_per_million) == (800, 10 * 10**6)
        assert (read.amount_nanos, read.uncached_nanos, read.baseline_nanos) == (
            8_000,
            80_000,
            3_200_000,
        )
        await check_rebuild(analytics.db)

    async def test_an_event_that_names_no_baseline_saved_nothing_by_routing(
        self, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        await tell(usage(100, saved_nanos=40))
        with as_identity(tenant_id):
            found = (await stub.GetSavings(pb.GetSavingsRequest(**PERIOD), timeout=10)).savings
        assert (found.actual_nanos, found.baseline_nanos) == (100, 140)

    def test_frames_are_worth_nothing_where_none_was_read(self) -> None:
        counts = FrameCountRow(
            captured_count=9, duplicate_count=8, superseded_count=0, read_count=0
        )
        assert frames_saved(counts, 0).saved_nanos == 0


class TestGetCaching:
    async def test_counts_by_agent_and_model(
        self, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        await tell(*calls(), units("input_token", 70, 1, 1, 1, model="writer"))
        with as_identity(tenant_id):
            found = await stub.GetCaching(pb.GetCachingRequest(**PERIOD), timeout=10)
        assert [(item.agent_id, item.model) for item in found.items] == [
            (AGENT, "anthropic/haiku"),
            (OTHER, "anthropic/haiku"),
        ]
        first, second = found.items
        assert (first.read_tokens, first.written_5m_tokens, first.written_1h_tokens) == (
            800,
            100,
            0,
        )
        assert (first.uncached_tokens, first.hit_rate_millis) == (50, 889)
        assert (first.premium_nanos, first.read_saved_nanos) == (2_500, 72_000)
        assert (first.saved_nanos, second.saved_nanos) == (69_500, -10_000)
        assert (found.total.hit_rate_millis, found.target_hit_rate_millis) == (800, 800)
        assert (found.total.saved_nanos, found.total.uncached_tokens) == (59_500, 50)


class TestCachingAlert:
    async def test_begins_below_the_goal_and_ends_clearly_above_it(
        self,
        analytics: Running,
        stub: Any,
        tell: Tell,
        as_identity: As,
        tenant_id: UUID,
        other_tenant_id: UUID,
    ) -> None:
        """Of the last day's prompts, from 200,000 tokens on; each is told once."""

        async def alert_of(tenant: UUID) -> int:
            with as_identity(tenant):
                found = await stub.GetCaching(pb.GetCachingRequest(**PERIOD), timeout=10)
            return found.alert.hit_rate_millis

        for read, written, fell, recovered, alert in (
            (99_000, 100_000, [], [], 0),
            (21_000, 0, [545], [], 545),
            (1_000, 0, [545], [], 545),
            # Above 80 %, and not by as much as it takes.
            (300_000, 0, [545], [], 545),
            (200_000, 0, [545], [861], 0),
        ):
            now = analytics.rt.clock.now()
            for kind, count in (("cache_read_token", read), ("cache_write_5m_token", written)):
                await tell(units(kind, count, 1, 1, 1, when=now, **HAIKU))
            analytics.advance(1)
            await analytics.rt.commands["watch-caching"]()
            for event, rates in (
                (events_pb2.CacheHitRateFell, fell),
                (events_pb2.CacheHitRateRecovered, recovered),
            ):
                told = await analytics.events(event)
                assert [each["hitRateMillis"] for each in told] == rates
            assert await alert_of(tenant_id) == alert
            assert await alert_of(other_tenant_id) == 0
