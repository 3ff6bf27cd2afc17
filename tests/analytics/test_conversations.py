"""What events add up to, however they come: in any order, twice, at once."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from analytics.rebuild import check_rebuild, rebuild
from fleetdesk.conversation.v1 import conversation_pb2
from fleetdesk.gateway.v1 import events_pb2 as gateway_events
from fleetkit.errors import FailedPrecondition
from harness.services import Running
from harness.telling import MONDAY, Story
from harness.waiting import eventually

Tell = Callable[..., Awaitable[None]]
PERSON = conversation_pb2.MESSAGE_ROLE_PERSON
CANCELED = conversation_pb2.MESSAGE_STATUS_CANCELED


async def kept(analytics: Running) -> list[dict[str, Any]]:
    return await analytics.rows("select * from conversation order by conversation_id")


class TestAConversation:
    @pytest.mark.parametrize(
        ("story", "outcome", "reason"),
        [
            (Story().starts(), "", ""),
            (Story().starts().asks(), "unanswered", ""),
            (Story().asks().ends("unspecified", status=CANCELED), "unanswered", ""),
            (Story().asks().ends("clarify"), "clarify", ""),
            (Story().asks().ends("clarify").asks().ends(), "answered_alone", ""),
            (Story().asks().ends().becomes("resolved"), "answered_alone", ""),
            (
                Story()
                .asks()
                .ends()
                .asks()
                .becomes("waiting")
                .hands_over("visitor_request")
                .ends("handoff", handoff_reason=3),
                "handed_over",
                "visitor_request",
            ),
            (
                Story().asks().hands_over("low_confidence").hands_over("visitor_request"),
                "handed_over",
                "low_confidence",
            ),
            (Story().asks().becomes("taken_over").asks(PERSON), "handed_over", "unspecified"),
        ],
        ids=lambda value: value if isinstance(value, str) else None,
    )
    async def test_has_the_outcome_of_its_events(
        self, analytics: Running, tell: Tell, story: Story, outcome: str, reason: str
    ) -> None:
        await tell(*story.events)
        (row,) = await kept(analytics)
        assert (row["outcome"], row["handoff_reason"]) == (outcome, reason)
        assert str(row["agent_id"]) == story.agent_id

    async def test_begins_with_the_visitors_first_message(
        self, analytics: Running, tell: Tell
    ) -> None:
        story = Story().starts().asks().ends().asks().ends()
        await tell(*reversed(story.events))
        (row,) = await kept(analytics)
        assert row["start_time"] == MONDAY + timedelta(seconds=2)

    async def test_has_the_status_of_the_last_change_and_costs_what_its_calls_cost(
        self, analytics: Running, tell: Tell
    ) -> None:
        story = Story().becomes("waiting").becomes("taken_over").becomes("resolved")
        await tell(*story.costs(100, 20).costs(3).events)
        (row,) = await kept(analytics)
        assert (row["status"], row["amount_nanos"]) == ("resolved", 123)

    async def test_is_the_same_in_any_order_and_however_often_it_is_told(
        self, analytics: Running, tell: Tell, tenant_id: UUID
    ) -> None:
        story = Story().starts().asks().ends("clarify").costs(7).asks().hands_over()
        story = story.becomes("taken_over").asks(PERSON).becomes("resolved").costs(90, 1)
        await tell(*story.events)
        (expected,) = await kept(analytics)
        random = Random(3)
        for _ in range(4):
            async with analytics.db.tenant(tenant_id) as conn:
                await conn.execute("delete from conversation")
                await conn.execute("delete from cost_entry")
                await conn.execute("delete from cost_call")
                await conn.execute("delete from turn")
                await conn.execute("delete from conversation_event")
                await conn.execute("delete from inbox")
            twice = [*story.events, *story.events]
            random.shuffle(twice)
            await tell(*twice)
            assert await kept(analytics) == [expected]

    async def test_keeps_what_comes_at_once(self, analytics: Running, tell: Tell) -> None:
        """Eight events are handled at a time; each derives the conversation anew."""
        story = Story()
        for _ in range(30):
            story.asks().ends().costs(1)
        await tell(*story.events)
        (row,) = await kept(analytics)
        assert row["amount_nanos"] == 30
        await check_rebuild(analytics.db)

    async def test_of_an_erased_visitor_stays_without_them(
        self, analytics: Running, tell: Tell
    ) -> None:
        story = Story().starts().asks().ends().costs(7)
        await tell(*story.events)
        erased = gateway_events.ErasureRequested(
            erasure_id=str(uuid4()),
            visitor_id=story.visitor_id,
            conversation_ids=[story.conversation_id],
        )
        await tell(erased)

        async def without_them() -> bool:
            (row,) = await kept(analytics)
            return row["visitor_id"] is None and row["amount_nanos"] == 7

        await eventually(without_them)
        await check_rebuild(analytics.db)
        await rebuild(analytics.db)
        assert await without_them()

    async def test_is_of_its_tenant(
        self, analytics: Running, tell: Tell, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        await tell(*Story().asks().events)
        await tell(*Story().asks().events, tenant=other_tenant_id)
        async with analytics.db.tenant(tenant_id) as conn:
            found = await conn.execute("select tenant_id from conversation")
            assert await found.fetchall() == [(tenant_id,)]


class TestRebuild:
    @pytest.fixture
    async def told(self, tell: Tell, other_tenant_id: UUID) -> None:
        for number in range(3):
            story = Story().asks().ends().costs(10 + number)
            await tell(*story.events)
        await tell(*Story().asks().hands_over().costs(5).events, tenant=other_tenant_id)

    @pytest.mark.usefixtures("told")
    async def test_finds_nothing_to_say_of_what_is_right(
        self, analytics: Running, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await check_rebuild(analytics.db)
        said = capsys.readouterr().out
        assert "4 conversations compared, 0 differ\n" in said
        assert "0 sums by the hour differ\n" in said

    @pytest.mark.usefixtures("told")
    async def test_prints_what_differs_and_derives_it_anew(
        self,
        analytics: Running,
        capsys: pytest.CaptureFixture[str],
        tenant_id: UUID,
        other_tenant_id: UUID,
    ) -> None:
        expected = await kept(analytics)
        async with analytics.db.tenant(tenant_id) as conn:
            await conn.execute(
                "update conversation set amount_nanos = 99, outcome = 'clarify'"
                " where amount_nanos = 11"
            )
            await conn.execute("delete from conversation where amount_nanos = 12")
        async with analytics.db.tenant(other_tenant_id) as conn:
            await conn.execute("update conversation set start_time = null")
        with pytest.raises(FailedPrecondition, match="3 conversations"):
            await check_rebuild(analytics.db)
        told = capsys.readouterr().out
        assert '"amount_nanos": 99' in told
        assert '"amount_nanos": 11' in told
        assert "kept:    None" in told
        await rebuild(analytics.db)
        await check_rebuild(analytics.db)
        assert await kept(analytics) == expected

    async def test_is_a_command(self, analytics: Running) -> None:
        assert {"rebuild", "check-rebuild"} <= set(analytics.rt.commands)
