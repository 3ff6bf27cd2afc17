"""The usage ledger: each answered conversation once, and what the plan says of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from billing.usage import check_usage, rebuild_usage
from fleetdesk.billing.v1 import billing_service_pb2 as pb
from fleetdesk.billing.v1 import usage_pb2
from fleetdesk.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from fleetdesk.conversation.v1 import conversation_pb2
from fleetkit.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from fleetkit.rpc.fields import timestamp
from google.protobuf.message import Message
from harness.services import Running, TestBus
from harness.telling import Story
from harness.waiting import eventually

As = Callable[..., Any]
Tell = Callable[..., Awaitable[None]]
JANUARY = datetime(2027, 1, 10, 12, tzinfo=UTC)
LAST_MOMENT = datetime(2027, 2, 9, 23, 59, 59, tzinfo=UTC)
CANCELED = conversation_pb2.MESSAGE_STATUS_CANCELED
FAILED = conversation_pb2.MESSAGE_STATUS_FAILED


@pytest.fixture
async def billing(fleet_service: Callable[..., Any], bus: TestBus) -> Running:
    return await fleet_service("billing", default_plan="development")


@pytest.fixture
def stub(billing: Running) -> Any:
    return billing.stub(BillingServiceStub, caller="gateway")


@pytest.fixture
def tell(billing: Running, bus: TestBus, tenant_id: UUID) -> Tell:
    """Puts events on the bus, those that it has once more, and waits until each was handled."""

    async def tell(*events: Message, tenant: UUID = tenant_id) -> None:
        ids = [await bus.emit(event, tenant, late=True) for event in events]

        async def handled() -> bool:
            rows = await billing.rows("select event_id from inbox where event_id = any(%s)", ids)
            return len(rows) == len(set(ids))

        await eventually(handled, timeout_s=30)

    return tell


@pytest.fixture
def subscribe(billing: Running) -> Callable[..., Awaitable[None]]:
    """`await subscribe(tenant, plan, seats, since)` without asking anybody."""

    async def subscribe(
        tenant: UUID, plan_id: str, seats: int = 1, since: datetime = JANUARY
    ) -> None:
        async with billing.db.tenant(tenant) as conn:
            await conn.execute(
                "insert into subscription (tenant_id, plan_id, seats, status, period_start_time,"
                " period_end_time) values (%s, %s, %s, 'active', %s, %s)",
                [tenant, plan_id, seats, since, since + timedelta(days=31)],
            )

    return subscribe


def answers(*times: datetime) -> list[Any]:
    """The answers of one conversation at these times, as events."""
    story = Story()
    for time in times:
        story.ends()
        story.events[-1].occur_time.FromDatetime(time)
    return story.events


async def used(stub: Any, time: datetime) -> tuple[int, int, int, int]:
    """(quantity, allowance, share, overage) of the period that includes `time`."""
    found = await stub.GetUsage(pb.GetUsageRequest(time=timestamp(time)))
    (unit,) = found.units
    assert unit.unit == usage_pb2.USAGE_UNIT_ANSWERED_CONVERSATION
    return unit.quantity, unit.allowance, unit.share_used_millis, unit.overage


class TestTheLedger:
    async def test_counts_a_conversation_once_at_its_first_answer(
        self, stub: Any, tell: Tell, subscribe: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        await subscribe(tenant_id, "professional")
        february = JANUARY + timedelta(days=31)
        await tell(*answers(JANUARY, JANUARY + timedelta(hours=1), february), *answers(february))
        with as_identity(tenant_id):
            assert await used(stub, JANUARY) == (1, 50, 20, 0)
            assert await used(stub, february) == (1, 50, 20, 0)

    async def test_counts_answers_only(
        self, billing: Running, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        await tell(
            *Story().ends("clarify").ends("handoff").ends("unspecified", status=CANCELED).events
        )
        with as_identity(tenant_id):
            assert (await stub.GetUsage(pb.GetUsageRequest())).units[0].quantity == 0
        assert await billing.rows("select * from usage_ledger") == []

    async def test_is_the_same_in_any_order_and_however_often_it_is_told(
        self, billing: Running, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        """Also where the first answer, of the month before, comes last."""
        random = Random(5)
        events = [
            event
            for number in range(12)
            for event in answers(
                LAST_MOMENT - timedelta(days=random.randrange(60)),
                LAST_MOMENT + timedelta(days=number),
                LAST_MOMENT,
            )
        ]
        firsts = {}
        for event in events:
            time = event.occur_time.ToDatetime(tzinfo=UTC)
            first = firsts.get(event.conversation_id, time)
            firsts[event.conversation_id] = min(first, time)
        expected = sum(time.month == 1 for time in firsts.values())
        assert 0 < expected < 12
        twice = [*events, *events]
        random.shuffle(twice)
        await tell(*twice)
        with as_identity(tenant_id):
            assert (await used(stub, datetime(2027, 1, 20, tzinfo=UTC)))[0] == expected
        assert len(await billing.rows("select * from usage_ledger")) == len(events)
        await check_usage(billing.db)

    async def test_knows_a_message_again_that_another_event_tells_of(
        self, billing: Running, tell: Tell
    ) -> None:
        (event,) = answers(JANUARY)
        again = type(event).FromString(event.SerializeToString())
        again.event_id = str(uuid4())
        await tell(event, again)
        assert len(await billing.rows("select * from usage_ledger")) == 1

    async def test_is_append_only(self, billing: Running, tell: Tell, tenant_id: UUID) -> None:
        await tell(*answers(JANUARY))
        for statement in ("update usage_ledger set occur_time = now()", "delete from usage_ledger"):
            with pytest.raises(Exception, match="permission denied"):
                async with billing.db.tenant(tenant_id) as conn:
                    await conn.execute(statement)

    async def test_is_of_its_tenant(
        self, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        await tell(*answers(JANUARY))
        with as_identity(other_tenant_id):
            assert (await used(stub, JANUARY))[0] == 0
        with as_identity(tenant_id):
            assert (await used(stub, JANUARY))[0] == 1


class TestGetUsage:
    async def test_is_of_the_current_period_when_no_time_is_named(
        self, billing: Running, stub: Any, tell: Tell, as_identity: As, tenant_id: UUID
    ) -> None:
        with as_identity(tenant_id, role="owner"):
            await stub.EnsureSubscription(pb.EnsureSubscriptionRequest(plan_id="free"))
        await tell(*answers(billing.rt.clock.now()))
        with as_identity(tenant_id):
            now = await stub.GetUsage(pb.GetUsageRequest())
            billing.advance(32 * 24 * 3600)
            later = await stub.GetUsage(pb.GetUsageRequest())
        assert (now.plan_id, now.units[0].quantity, now.units[0].allowance) == ("free", 1, 25)
        assert later.units[0].quantity == 0
        assert later.period_start_time == now.period_end_time

    async def test_pools_seats_and_counts_what_is_above(
        self, stub: Any, tell: Tell, subscribe: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        await subscribe(tenant_id, "professional", seats=2)
        for _ in range(103):
            await tell(*answers(JANUARY))
        with as_identity(tenant_id):
            assert await used(stub, JANUARY) == (103, 100, 1030, 3)

    async def test_says_that_there_is_no_limit(
        self, stub: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        with as_identity(tenant_id):
            assert await used(stub, JANUARY) == (0, -1, 0, 0)

    async def test_names_a_time_out_of_the_calendar(
        self, stub: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        for year in (1, 9999):
            time = timestamp(datetime(year, 1, 1, tzinfo=UTC))
            with as_identity(tenant_id), pytest.raises(InvalidArgument) as caught:
                await stub.GetUsage(pb.GetUsageRequest(time=time))
            assert caught.value.field == "time"


class TestCheckEntitlement:
    @pytest.fixture
    async def used_up(
        self, billing: Running, tell: Tell, subscribe: Any, tenant_id: UUID
    ) -> list[str]:
        """The free plan's 25 conversations, all answered; their ids."""
        now = billing.rt.clock.now()
        await subscribe(tenant_id, "free", since=now - timedelta(days=3))
        events = [event for _ in range(25) for event in answers(now)]
        await tell(*events)
        return [event.conversation_id for event in events]

    async def test_refuses_a_new_conversation_when_the_allowance_is_used_up(
        self, billing: Running, stub: Any, used_up: list[str], as_identity: As, tenant_id: UUID
    ) -> None:
        with as_identity(tenant_id):
            made = await _check(stub)
            named = await _check(stub, str(uuid4()))
            knowledge = await _check(stub, capability=pb.CAPABILITY_KNOWLEDGE)
        assert (made.allowed, made.reason, made.plan_id) == (False, "USAGE_LIMIT", "free")
        assert not named.allowed
        assert knowledge.allowed

    async def test_lets_a_conversation_go_on_that_is_counted(
        self, stub: Any, used_up: list[str], as_identity: As, tenant_id: UUID
    ) -> None:
        visitor = {"kind": "visitor", "conversation_id": UUID(used_up[3])}
        with as_identity(tenant_id, **visitor):
            assert (await _check(stub, used_up[3])).allowed

    async def test_a_visitor_asks_for_their_own_conversation(
        self, stub: Any, used_up: list[str], as_identity: As, tenant_id: UUID
    ) -> None:
        with as_identity(tenant_id, kind="visitor", conversation_id=UUID(used_up[3])):
            with pytest.raises(PermissionDenied):
                await _check(stub, used_up[4])
            assert not (await _check(stub)).allowed

    async def test_allows_again_in_the_next_period(
        self, billing: Running, stub: Any, used_up: list[str], as_identity: As, tenant_id: UUID
    ) -> None:
        billing.advance(31 * 24 * 3600)
        with as_identity(tenant_id):
            assert (await _check(stub)).allowed

    @pytest.mark.usefixtures("used_up")
    async def test_never_stops_a_plan_that_charges_what_is_above(
        self, billing: Running, stub: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        async with billing.db.tenant(tenant_id) as conn:
            await conn.execute("update subscription set plan_id = 'professional'")
        with as_identity(tenant_id):
            assert (await _check(stub)).allowed

    async def test_allows_the_last_one(
        self,
        stub: Any,
        tell: Tell,
        subscribe: Any,
        billing: Running,
        as_identity: As,
        tenant_id: UUID,
    ) -> None:
        now = billing.rt.clock.now()
        await subscribe(tenant_id, "free", since=now - timedelta(days=3))
        await tell(*(event for _ in range(24) for event in answers(now)))
        with as_identity(tenant_id):
            assert (await _check(stub)).allowed


async def _check(
    stub: Any,
    conversation_id: str = "",
    capability: int = pb.CAPABILITY_TEXT,
    message_id: str = "",
) -> pb.CheckEntitlementResponse:
    request = pb.CheckEntitlementRequest(
        capability=capability,  # pyright: ignore[reportArgumentType]
        conversation_id=conversation_id,
        message_id=message_id,
    )
    return await stub.CheckEntitlement(request)


class TestPlaces:
    """The free plan's 25, asked for before anything is answered."""

    @pytest.fixture(autouse=True)
    async def _free(
        self, billing: Running, subscribe: Any, as_identity: As, tenant_id: UUID
    ) -> AsyncIterator[None]:
        await subscribe(tenant_id, "free", since=billing.rt.clock.now() - timedelta(days=3))
        with as_identity(tenant_id):
            yield

    async def test_of_64_first_answers_at_once_as_many_pass_as_the_plan_has(
        self, billing: Running, stub: Any, tell: Tell
    ) -> None:
        turns = [answers(billing.rt.clock.now())[0] for _ in range(64)]

        async def ask(turn: Any) -> bool:
            return (await _reserve(stub, turn)).allowed

        allowed = await asyncio.gather(*(ask(turn) for turn in turns))
        assert sum(allowed) == 25
        # Asked again, as a retry does: the same answers, and nothing more is taken.
        assert await asyncio.gather(*(ask(turn) for turn in turns)) == allowed
        await tell(*(turn for turn, may in zip(turns, allowed, strict=True) if may))
        assert await billing.rows("select from reservation") == []
        assert not (await _check(stub)).allowed
        assert len(await billing.rows("select from counted_conversation")) == 25

    async def test_are_given_back_when_a_turn_ends_without_an_answer(
        self, billing: Running, stub: Any, tell: Tell
    ) -> None:
        ends = {
            "failed": Story().ends("unspecified", status=FAILED),
            "canceled": Story().ends("unspecified", status=CANCELED),
            "handed over": Story().ends("handoff"),
            "greeted": Story().ends("answered", small_talk=True),
        }
        for story in ends.values():
            assert (await _reserve(stub, story.events[0])).allowed
        assert len(await billing.rows("select from reservation")) == len(ends)
        await tell(*(story.events[0] for story in ends.values()))
        assert await billing.rows("select from reservation") == []
        assert await billing.rows("select from usage_ledger") == []

    async def test_are_held_once_for_the_answers_of_one_conversation(
        self, billing: Running, stub: Any, tell: Tell
    ) -> None:
        now = billing.rt.clock.now()
        await tell(*(event for _ in range(24) for event in answers(now)))
        first, second = answers(now, now)
        other = answers(now)[0]
        assert (await _reserve(stub, first)).allowed
        assert not (await _reserve(stub, other)).allowed
        assert (await _reserve(stub, second)).allowed
        await tell(first)
        assert (await _reserve(stub, second)).allowed
        assert not (await _reserve(stub, other)).allowed

    async def test_are_free_again_after_a_day_that_told_nothing(
        self, billing: Running, stub: Any
    ) -> None:
        now = billing.rt.clock.now()
        for _ in range(25):
            assert (await _reserve(stub, answers(now)[0])).allowed
        late = answers(now)[0]
        billing.advance(23 * 3600)
        assert not (await _reserve(stub, late)).allowed
        billing.advance(2 * 3600)
        assert (await _reserve(stub, late)).allowed
        assert len(await billing.rows("select from reservation")) == 1

    async def test_are_of_their_tenant(
        self, stub: Any, billing: Running, as_identity: As, other_tenant_id: UUID, subscribe: Any
    ) -> None:
        now = billing.rt.clock.now()
        await subscribe(other_tenant_id, "free", since=now)
        with as_identity(other_tenant_id):
            for _ in range(25):
                assert (await _reserve(stub, answers(now)[0])).allowed
            assert not (await _check(stub)).allowed
        assert (await _check(stub)).allowed

    async def test_are_not_held_for_an_answer_that_is_counted(
        self, billing: Running, stub: Any, tell: Tell
    ) -> None:
        """A request that comes after its turn has ended."""
        turn = answers(billing.rt.clock.now() - timedelta(days=40))[0]
        await tell(turn)
        assert (await _reserve(stub, turn)).allowed
        assert await billing.rows("select from reservation") == []

    async def test_are_held_for_an_answer_of_a_conversation(self, stub: Any) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await _check(stub, message_id=str(uuid4()))
        assert caught.value.field == "conversation_id"


async def _reserve(stub: Any, turn: Any) -> pb.CheckEntitlementResponse:
    return await _check(stub, turn.conversation_id, message_id=turn.message_id)


class TestRebuildUsage:
    async def test_counts_anew_what_is_wrong_and_says_so(
        self,
        billing: Running,
        tell: Tell,
        capsys: pytest.CaptureFixture[str],
        tenant_id: UUID,
        other_tenant_id: UUID,
    ) -> None:
        for number in range(4):
            await tell(*answers(JANUARY + timedelta(days=number), JANUARY))
        await tell(*answers(JANUARY), tenant=other_tenant_id)
        counted = "select * from counted_conversation order by conversation_id"
        expected = await billing.rows(counted)
        async with billing.db.tenant(tenant_id) as conn:
            await conn.execute(
                "update counted_conversation set first_occur_time = now() where conversation_id ="
                " (select min(conversation_id::text)::uuid from counted_conversation)"
            )
            await conn.execute(
                "insert into counted_conversation values (%s, %s, %s, now())",
                [tenant_id, uuid4(), uuid4()],
            )
        async with billing.db.tenant(other_tenant_id) as conn:
            await conn.execute("delete from counted_conversation")
        with pytest.raises(FailedPrecondition, match="3 differ"):
            await check_usage(billing.db)
        await rebuild_usage(billing.db)
        await check_usage(billing.db)
        assert "3 conversations counted differently" in capsys.readouterr().out
        assert await billing.rows(counted) == expected

    async def test_is_a_command(self, billing: Running) -> None:
        assert {"rebuild-usage", "check-usage"} <= set(billing.rt.commands)
