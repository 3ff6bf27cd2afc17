"""SummarizeCosts: what the ledger says, within seconds and to the nano-dollar."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import product
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from analytics import costs
from fleetdesk.analytics.v1 import analytics_service_pb2 as pb
from fleetdesk.analytics.v1 import cost_pb2
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm
from fleetdesk.llm_gateway.v1 import usage_pb2
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit import context
from fleetkit.context import Attribution
from fleetkit.errors import InvalidArgument
from fleetkit.rpc.fields import timestamp
from harness.access import assert_refuses_strangers
from harness.services import Running
from harness.telling import MONDAY, Story, usage
from harness.waiting import eventually
from llm_gateway import pricing
from llm_gateway.entries import Meter
from llm_gateway.ledger import Ledger
from llm_gateway.pricing import Unit

As = Callable[..., Any]
Tell = Callable[..., Awaitable[None]]
SERVICE = "fleetdesk.analytics.v1.AnalyticsService"
BY_SERVICE = pb.SummarizeCostsRequest(group_by=cost_pb2.COST_KEY_SERVICE)
SONNET = "anthropic/claude-sonnet-5-5"


def sums(summary: Any) -> dict[Any, int]:
    """Amounts by key, or by both keys where there are two."""
    return {
        (group.key, group.split_key) if group.split_key else group.key: group.amount_nanos
        for group in summary.groups
    }


class TestSummarizeCosts:
    async def test_refuses_strangers(self, analytics: Running) -> None:
        await assert_refuses_strangers(analytics, f"{SERVICE}.SummarizeCosts", BY_SERVICE)

    async def test_another_tenant_sees_nothing(
        self, stub: Any, tell: Tell, as_identity: As, other_tenant_id: UUID
    ) -> None:
        story = Story().costs(700)
        await tell(*story.events)
        with as_identity(other_tenant_id, role="owner"):
            all_of_it = await stub.SummarizeCosts(BY_SERVICE, timeout=10)
            named = await stub.SummarizeCosts(
                pb.SummarizeCostsRequest(
                    group_by=cost_pb2.COST_KEY_CONVERSATION,
                    conversation_ids=[story.conversation_id],
                ),
                timeout=10,
            )
        assert all_of_it == named == pb.SummarizeCostsResponse()

    async def test_adds_up_by_every_key_and_by_two(
        self, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        story = Story().costs(700, 50).costs(20, service="retrieval", model="minilm")
        ingest = usage(9, when=MONDAY + timedelta(days=1), service="retrieval", purpose="ingest")
        await tell(*story.events, ingest)
        expected = {
            "conversation": {story.conversation_id: 770, "": 9},
            "agent": {story.agent_id: 770, "": 9},
            "visitor": {story.visitor_id: 770, "": 9},
            "model": {"local/writer": 759, "local/minilm": 20},
            "service": {"conversation": 750, "retrieval": 29},
            "purpose": {"turn": 770, "ingest": 9},
            "day": {"2026-11-16": 770, "2026-11-17": 9},
        }
        with as_identity(tenant_id):
            for key, groups in expected.items():
                value = cost_pb2.CostKey.Value(f"COST_KEY_{key.upper()}")
                found = await stub.SummarizeCosts(
                    pb.SummarizeCostsRequest(group_by=value), timeout=10
                )
                assert (sums(found), found.total_nanos) == (groups, 779), key
            both = await stub.SummarizeCosts(
                pb.SummarizeCostsRequest(
                    group_by=cost_pb2.COST_KEY_DAY, split_by=cost_pb2.COST_KEY_SERVICE
                ),
                timeout=10,
            )
        assert sums(both) == {
            ("2026-11-16", "conversation"): 750,
            ("2026-11-16", "retrieval"): 20,
            ("2026-11-17", "retrieval"): 9,
        }

    async def test_filters_by_time_agent_conversation_service_model_and_purpose(
        self, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        one = Story().costs(700).costs(20, service="retrieval", model="minilm")
        other = Story(began=MONDAY + timedelta(days=1)).costs(5, purpose="eval")
        await tell(*one.events, *other.events)
        next_day = timestamp(MONDAY + timedelta(days=1))
        wanted = [
            (pb.SummarizeCostsRequest(start_time=next_day), 5),
            (pb.SummarizeCostsRequest(end_time=next_day), 720),
            (pb.SummarizeCostsRequest(agent_id=one.agent_id), 720),
            (pb.SummarizeCostsRequest(conversation_ids=[other.conversation_id, str(uuid4())]), 5),
            (pb.SummarizeCostsRequest(service="retrieval"), 20),
            (pb.SummarizeCostsRequest(model="local/minilm"), 20),
            (pb.SummarizeCostsRequest(purpose="eval"), 5),
        ]
        with as_identity(tenant_id):
            for request, total in wanted:
                request.group_by = cost_pb2.COST_KEY_SERVICE
                found = await stub.SummarizeCosts(request, timeout=10)
                assert found.total_nanos == total, request

    async def test_says_what_is_saved_unconfirmed_and_paid_by_keys_of_the_tenants_own(
        self, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        await tell(
            usage(100, saved_nanos=40, paid_by="fleet"),
            usage(7, status=usage_pb2.USAGE_STATUS_UNCONFIRMED),
            usage(30, paid_by="tenant"),
        )
        with as_identity(tenant_id):
            for key in (cost_pb2.COST_KEY_SERVICE, cost_pb2.COST_KEY_CONVERSATION):
                # Summed by the hour, and from the entries.
                request = pb.SummarizeCostsRequest(group_by=key)
                (group,) = (await stub.SummarizeCosts(request, timeout=10)).groups
                assert (group.amount_nanos, group.saved_nanos) == (137, 40)
                assert (group.unconfirmed_nanos, group.direct_nanos) == (7, 30)

    async def test_more_groups_than_are_told_are_counted(
        self,
        stub: Any,
        tell: Tell,
        as_identity: As,
        tenant_id: UUID,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(costs, "MAX_GROUPS", 2)
        await tell(*(usage(amount, model=f"m{amount}") for amount in (1, 2, 4, 8)))
        with as_identity(tenant_id):
            found = await stub.SummarizeCosts(
                pb.SummarizeCostsRequest(group_by=cost_pb2.COST_KEY_MODEL), timeout=10
            )
        assert sums(found) == {"local/m8": 8, "local/m4": 4}
        assert (found.total_nanos, found.left_out_groups, found.left_out_nanos) == (15, 2, 3)

    async def test_names_the_field_that_is_wrong(
        self, stub: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        day = cost_pb2.COST_KEY_DAY
        wrong = [
            (pb.SummarizeCostsRequest(), "group_by"),
            (pb.SummarizeCostsRequest(group_by=day, split_by=day), "split_by"),
            (pb.SummarizeCostsRequest(group_by=day, agent_id="x"), "agent_id"),
            (pb.SummarizeCostsRequest(group_by=day, conversation_ids=["x"]), "conversation_ids"),
            (
                pb.SummarizeCostsRequest(group_by=day, conversation_ids=[str(uuid4())] * 501),
                "conversation_ids",
            ),
            (
                pb.SummarizeCostsRequest(
                    group_by=day,
                    start_time=timestamp(MONDAY),
                    end_time=timestamp(MONDAY - timedelta(days=1)),
                ),
                "start_time",
            ),
        ]
        with as_identity(tenant_id):
            for request, field in wrong:
                with pytest.raises(InvalidArgument) as caught:
                    await stub.SummarizeCosts(request, timeout=10)
                assert caught.value.field == field


class TestUsageRecorded:
    async def test_counts_once_however_often_it_comes(
        self, analytics: Running, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        event = Story().costs(700).events[0]
        await tell(event, event)
        # As after the inbox forgot it, and as under another event id.
        async with analytics.db.fleet() as conn:
            await conn.execute("delete from inbox")
        again = type(event).FromString(event.SerializeToString())
        again.event_id = str(uuid4())
        await tell(event, again)
        with as_identity(tenant_id):
            assert (await stub.SummarizeCosts(BY_SERVICE, timeout=10)).total_nanos == 700

    async def test_conversations_are_what_their_entries_are_wherever_a_period_begins_and_ends(
        self, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        random = Random(7)
        conversations = [str(uuid4()) for _ in range(4)]
        calls = [(random.choice([*conversations, ""]), random.randrange(600)) for _ in range(60)]
        await tell(
            *(
                usage(
                    random.randrange(1_000),
                    when=MONDAY + timedelta(minutes=minute),
                    conversation_id=conversation_id,
                    saved_nanos=random.randrange(-50, 200),
                    paid_by=random.choice(("fleet", "tenant")),
                    status=random.choice(list(usage_pb2.UsageStatus.values())[1:3]),
                )
                for conversation_id, minute in calls
            )
        )
        of_one = [
            minute for conversation_id, minute in calls if conversation_id == conversations[0]
        ]
        minutes = (None, 0, min(of_one), 300, max(of_one), 600)
        with as_identity(tenant_id):
            for begin, end in product(minutes, minutes):
                if begin is not None and end is not None and begin > end:
                    continue
                request = pb.SummarizeCostsRequest(group_by=cost_pb2.COST_KEY_CONVERSATION)
                if begin is not None:
                    request.start_time.CopyFrom(timestamp(MONDAY + timedelta(minutes=begin)))
                if end is not None:
                    request.end_time.CopyFrom(timestamp(MONDAY + timedelta(minutes=end)))
                from_rows = await stub.SummarizeCosts(request, timeout=10)
                # Named together with a model, only the entries tell it.
                request.model = "local/writer"
                from_entries = await stub.SummarizeCosts(request, timeout=10)
                assert from_rows == from_entries, (begin, end)

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
    async def test_the_latest_revision_of_a_call_stands_whatever_the_order(
        self,
        stub: Any,
        tell: Tell,
        as_identity: As,
        tenant_id: UUID,
        order: tuple[int, ...],
    ) -> None:
        call_id, first, later = str(uuid4()), Story(), Story()
        revisions = [
            usage(
                900,
                100,
                call_id=call_id,
                status=usage_pb2.USAGE_STATUS_UNCONFIRMED,
                conversation_id=first.conversation_id,
            ),
            usage(500, call_id=call_id, revision=2, conversation_id=first.conversation_id),
            usage(450, 30, call_id=call_id, revision=3, conversation_id=later.conversation_id),
        ]
        for number in order:
            await tell(revisions[number])
        with as_identity(tenant_id):
            found = await stub.SummarizeCosts(
                pb.SummarizeCostsRequest(group_by=cost_pb2.COST_KEY_CONVERSATION), timeout=10
            )
        assert sums(found) == {later.conversation_id: 480}
        assert found.groups[0].unconfirmed_nanos == 0


class TestTheLedger:
    """Over the real bus: llm-gateway's own sums and those made of its events."""

    @pytest.fixture
    async def models(self, fleet_service: Callable[..., Any]) -> Running:
        return await fleet_service(
            "llm-gateway", embed_workers=0, anthropic_api_key="sk-unused", answer_model=SONNET
        )

    async def test_and_the_costs_are_the_same_by_every_key(
        self, analytics: Running, models: Running, stub: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        ledger = Ledger(models.db, models.rt.clock, pricing.load())
        await _spend(ledger, tenant_id, calls=40)
        async with models.db.tenant(tenant_id) as conn:
            await conn.execute("update usage_call set expire_time = now() where status = 'open'")
        assert await ledger.sweep(tenant_id) == 8
        told = models.stub(LlmGatewayServiceStub, caller="gateway")

        async def same() -> bool:
            with as_identity(tenant_id):
                ledger = await told.SummarizeUsage(
                    llm.SummarizeUsageRequest(group_by=llm.USAGE_KEY_SERVICE), timeout=10
                )
                found = await stub.SummarizeCosts(BY_SERVICE, timeout=10)
            return found.total_nanos == ledger.total_nanos > 0

        await eventually(same, timeout_s=30)
        for name, value in list(llm.UsageKey.items())[1:]:
            key = cost_pb2.CostKey.Value(name.replace("USAGE", "COST"))
            for split in (llm.USAGE_KEY_UNSPECIFIED, llm.USAGE_KEY_DAY):
                if split == value:
                    continue
                other = cost_pb2.COST_KEY_DAY if split else cost_pb2.COST_KEY_UNSPECIFIED
                with as_identity(tenant_id):
                    ledger = await told.SummarizeUsage(
                        llm.SummarizeUsageRequest(group_by=value, split_by=split), timeout=10
                    )
                    found = await stub.SummarizeCosts(
                        pb.SummarizeCostsRequest(group_by=key, split_by=other), timeout=10
                    )
                assert _plain(found.groups) == _plain(ledger.groups), name
                unconfirmed = sum(group.unconfirmed_nanos for group in found.groups)
                assert 0 < unconfirmed < found.total_nanos


async def _spend(ledger: Ledger, tenant_id: UUID, calls: int) -> None:
    """Calls that are settled, broken off, and never closed."""
    random = Random(11)
    conversations = [uuid4() for _ in range(5)]
    for number in range(calls):
        at_most = {Unit.INPUT: 3_000, Unit.CACHE_READ: 9_000, Unit.OUTPUT: 700}
        attribution = Attribution(
            purpose=random.choice(("turn", "ingest")),
            conversation_id=random.choice([*conversations, None]),
            agent_id=random.choice([conversations[0], None]),
            visitor_id=random.choice([*conversations, None]),
        )
        used = {unit: random.randrange(most) for unit, most in at_most.items()}
        with context.background(tenant_id, attribution), context.deadline_in(5):
            call = await ledger.open_call(tenant_id, "answer", SONNET, at_most)
            if number % 5 == 0:
                continue
            if number % 5 == 1:
                del used[Unit.OUTPUT]
            meter = Meter(begun=True, complete=number % 5 != 1, units=used)
            await ledger.close_call(call, meter)


def _plain(groups: Any) -> list[tuple[Any, ...]]:
    return sorted(
        (
            group.key,
            group.split_key,
            group.amount_nanos,
            group.saved_nanos,
            group.unconfirmed_nanos,
        )
        for group in groups
    )
