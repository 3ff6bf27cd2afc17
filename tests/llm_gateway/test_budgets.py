"""Budgets: every level must pass, windows begin at the tenant's midnight, warnings come once."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from fleetdesk.llm_gateway.v1 import budget_pb2, events_pb2
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit import context
from fleetkit.context import Attribution
from fleetkit.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from harness.access import assert_refuses_strangers
from harness.answers import ROUTER, ask, asking, passage
from harness.services import Running
from llm_gateway import budgets, pricing
from llm_gateway.budgets import NewBudget, window_end, window_start
from llm_gateway.entries import Meter, entries_of
from llm_gateway.ledger import Call, Ledger
from llm_gateway.pricing import Unit
from llm_gateway.store import ledger as ledger_store
from llm_gateway.store.budgets import BudgetRow
from psycopg.types.json import Jsonb

As = Callable[..., Any]
SERVICE = "fleetdesk.llm_gateway.v1.LlmGatewayService"
# $10 a million: 10,000 nano-dollars a token.
SONNET = "anthropic/claude-sonnet-5-5"
TOKEN = 10_000
DAY = budget_pb2.BUDGET_PERIOD_DAY


@pytest.fixture
async def running(start: Any) -> Running:
    return await start(embed_workers=0, anthropic_api_key="sk-unused", answer_model=SONNET)


@pytest.fixture
def stub(running: Running) -> Any:
    return running.stub(LlmGatewayServiceStub, caller="gateway")


@pytest.fixture
def ledger(running: Running) -> Ledger:
    return Ledger(running.db, running.rt.clock, pricing.load())


async def reserve(
    ledger: Ledger, tenant_id: UUID, tokens: int, for_whom: Attribution | None = None
) -> Call:
    with context.background(tenant_id, for_whom):
        return await ledger.open_call(tenant_id, "answer", SONNET, {Unit.OUTPUT: tokens})


async def settle(ledger: Ledger, call: Call, tokens: int) -> None:
    await ledger.close_call(call, Meter(True, True, {Unit.OUTPUT: tokens}))


async def spend(
    ledger: Ledger, tenant_id: UUID, tokens: int, for_whom: Attribution | None = None
) -> None:
    await settle(ledger, await reserve(ledger, tenant_id, tokens, for_whom), tokens)


async def define(
    running: Running,
    tenant_id: UUID,
    tokens: int,
    level: str = "tenant",
    target_id: UUID | None = None,
    period: str = "day",
    hard: bool = True,
) -> BudgetRow:
    new = NewBudget(level, target_id, period, tokens * TOKEN, hard)
    return await budgets.create_budget(running.db, running.rt.clock, tenant_id, new)


def a_budget(time_zone: str, period: str = "day") -> BudgetRow:
    return BudgetRow(
        budget_id=uuid4(),
        tenant_id=uuid4(),
        level="tenant",
        target_id=None,
        period=period,
        limit_nanos=1,
        hard=True,
        time_zone=time_zone,
        create_time=datetime.now(UTC),
    )


async def windows(running: Running, tenant_id: UUID) -> list[tuple[int, int]]:
    """(spent, reserved) of every window in tokens."""
    rows = await running.rows(
        "select spent_nanos, reserved_nanos from budget_window where tenant_id = %s"
        " order by window_id",
        tenant_id,
    )
    return [(row["spent_nanos"] // TOKEN, row["reserved_nanos"] // TOKEN) for row in rows]


class TestAccess:
    async def test_refuses_strangers(self, running: Running) -> None:
        for name in ("List", "Create", "Update", "Delete"):
            end = "s" if name == "List" else ""
            request = getattr(pb, f"{name}Budget{end}Request")()
            await assert_refuses_strangers(running, f"{SERVICE}.{name}Budget{end}", request)
        zone = pb.SetBudgetTimeZoneRequest()
        await assert_refuses_strangers(running, f"{SERVICE}.SetBudgetTimeZone", zone)

    async def test_another_tenant_sees_changes_and_feels_none(
        self,
        running: Running,
        stub: Any,
        ledger: Ledger,
        as_identity: As,
        tenant_id: UUID,
        other_tenant_id: UUID,
    ) -> None:
        budget = await define(running, tenant_id, 1)
        with as_identity(other_tenant_id, role="admin"):
            assert not (await stub.ListBudgets(pb.ListBudgetsRequest())).items
            named: Any = {"budget_id": str(budget.budget_id)}
            with pytest.raises(NotFound):
                await stub.UpdateBudget(pb.UpdateBudgetRequest(limit_nanos=9, **named))
            with pytest.raises(NotFound):
                await stub.DeleteBudget(pb.DeleteBudgetRequest(**named))
        await spend(ledger, other_tenant_id, 100)
        with pytest.raises(ResourceExhausted):
            await reserve(ledger, tenant_id, 2)


class TestDefining:
    async def test_a_budget_from_its_making_to_its_end(
        self, running: Running, stub: Any, ledger: Ledger, as_identity: As, tenant_id: UUID
    ) -> None:
        await spend(ledger, tenant_id, 30)
        still_open = await reserve(ledger, tenant_id, 40)
        wanted = pb.CreateBudgetRequest(
            level=budget_pb2.BUDGET_LEVEL_TENANT, period=DAY, limit_nanos=100 * TOKEN, hard=True
        )
        with as_identity(tenant_id, role="admin"):
            budget = (await stub.CreateBudget(wanted)).budget
            with pytest.raises(AlreadyExists):
                await stub.CreateBudget(wanted)
            (status,) = (await stub.ListBudgets(pb.ListBudgetsRequest())).items
            # What was before it counts, also what was just in flight.
            (window,) = status.windows
            assert (window.spent_nanos, window.reserved_nanos) == (30 * TOKEN, 40 * TOKEN)
            assert (window.target_id, status.window_count) == ("", 1)
            with pytest.raises(ResourceExhausted):
                await reserve(ledger, tenant_id, 31)
            await settle(ledger, still_open, 5)
            (status,) = (await stub.ListBudgets(pb.ListBudgetsRequest())).items
            assert (status.windows[0].spent_nanos, status.windows[0].reserved_nanos) == (
                35 * TOKEN,
                0,
            )
            assert status.windows[0].HasField("refuse_time")
            raised = pb.UpdateBudgetRequest(budget_id=budget.budget_id, limit_nanos=200 * TOKEN)
            assert (await stub.UpdateBudget(raised)).budget.limit_nanos == 200 * TOKEN
            await spend(ledger, tenant_id, 165)
            await stub.DeleteBudget(pb.DeleteBudgetRequest(budget_id=budget.budget_id))
            with pytest.raises(NotFound):
                await stub.DeleteBudget(pb.DeleteBudgetRequest(budget_id=budget.budget_id))
            assert not (await stub.ListBudgets(pb.ListBudgetsRequest())).items
        await spend(ledger, tenant_id, 1_000)

    async def test_bad_input_names_the_field(
        self, stub: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        wrong = [
            ("limit_nanos", 0),
            ("limit_nanos", 10**17 + 1),
            ("level", 0),
            ("period", 0),
            ("target_id", "x"),
            ("target_id", str(uuid4())),
        ]
        good = {"level": 1, "period": DAY, "limit_nanos": 1}
        for field, value in wrong:
            with as_identity(tenant_id, role="admin"), pytest.raises(InvalidArgument) as caught:
                await stub.CreateBudget(pb.CreateBudgetRequest(**{**good, field: value}))
            assert caught.value.field == field

    async def test_the_same_request_makes_the_same_budget(
        self, stub: Any, as_identity: As, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        level = budget_pb2.BUDGET_LEVEL_TENANT
        wanted = pb.CreateBudgetRequest(
            level=level, period=DAY, limit_nanos=1, request_id=str(uuid4())
        )
        with as_identity(tenant_id, role="admin"):
            made = (await stub.CreateBudget(wanted)).budget
            assert made.budget_id == wanted.request_id
            assert (await stub.CreateBudget(wanted)).budget == made
            assert len((await stub.ListBudgets(pb.ListBudgetsRequest())).items) == 1
        with as_identity(other_tenant_id, role="admin"), pytest.raises(AlreadyExists):
            await stub.CreateBudget(wanted)

    async def test_a_budget_that_warns_can_be_made_to_refuse_unless_there_is_one(
        self, running: Running, stub: Any, ledger: Ledger, as_identity: As, tenant_id: UUID
    ) -> None:
        soft = await define(running, tenant_id, 10, hard=False)
        await spend(ledger, tenant_id, 11)
        named: Any = {"budget_id": str(soft.budget_id), "limit_nanos": 12 * TOKEN}
        with as_identity(tenant_id, role="admin"):
            changed = await stub.UpdateBudget(pb.UpdateBudgetRequest(hard=True, **named))
            assert changed.budget.hard
            assert (await stub.UpdateBudget(pb.UpdateBudgetRequest(**named))).budget.hard
            with pytest.raises(ResourceExhausted):
                await reserve(ledger, tenant_id, 2)
            await define(running, tenant_id, 10, hard=False)
            with pytest.raises(AlreadyExists) as caught:
                await stub.UpdateBudget(pb.UpdateBudgetRequest(hard=False, **named))
            assert caught.value.field == "hard"

    @pytest.mark.parametrize("zone", ["", "Mars/Olympus", "localtime", "utc", "GMT+25"])
    async def test_what_is_no_time_zone_is_refused(
        self, running: Running, ledger: Ledger, tenant_id: UUID, zone: str
    ) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await budgets.set_time_zone(running.db, running.rt.clock, tenant_id, zone)
        assert caught.value.field == "time_zone"

    async def test_fifty_are_the_most(self, running: Running, tenant_id: UUID) -> None:
        for _ in range(50):
            await define(running, tenant_id, 1, "agent", uuid4())
        with pytest.raises(FailedPrecondition, match="50"):
            await define(running, tenant_id, 1)


class TestReserving:
    async def test_every_level_must_pass(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        agent, visitor = uuid4(), uuid4()
        first, second = (
            Attribution("turn", conversation_id=uuid4(), agent_id=agent, visitor_id=visitor)
            for _ in range(2)
        )
        await define(running, tenant_id, 100)
        await define(running, tenant_id, 60, "agent", agent, "month")
        await define(running, tenant_id, 50, "visitor")
        each = await define(running, tenant_id, 30, "conversation")
        await spend(ledger, tenant_id, 30, first)
        with pytest.raises(ResourceExhausted, match="this conversation") as caught:
            await reserve(ledger, tenant_id, 1, first)
        assert caught.value.reason == "BUDGET_EXHAUSTED"
        assert caught.value.details["budget_id"] == str(each.budget_id)
        assert 0 < (caught.value.retry_after_s or 0) <= 86_400
        await spend(ledger, tenant_id, 20, second)
        with pytest.raises(ResourceExhausted, match="this visitor"):
            await reserve(ledger, tenant_id, 1, second)
        stranger = Attribution("turn", conversation_id=uuid4(), agent_id=agent, visitor_id=uuid4())
        with pytest.raises(ResourceExhausted, match="this agent"):
            await reserve(ledger, tenant_id, 11, stranger)
        # What has no agent falls under the tenant's alone; the refused have left nothing behind.
        with pytest.raises(ResourceExhausted, match="all model calls"):
            await reserve(ledger, tenant_id, 51, Attribution("ingest"))
        await spend(ledger, tenant_id, 50, Attribution("ingest"))
        spent = sorted(await windows(running, tenant_id))
        assert spent == [(0, 0), (0, 0), (20, 0), (30, 0), (50, 0), (50, 0), (100, 0)]

    async def test_a_soft_budget_refuses_nothing(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        await define(running, tenant_id, 10, hard=False)
        await spend(ledger, tenant_id, 25)
        assert await windows(running, tenant_id) == [(25, 0)]

    async def test_the_first_refusal_of_a_window_is_told_of(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        await define(running, tenant_id, 10)
        for _ in range(3):
            with pytest.raises(ResourceExhausted):
                await reserve(ledger, tenant_id, 11)
        (event,) = await running.events(events_pb2.BudgetRefused)
        assert (event["askedNanos"], event["budget"]["hard"]) == (str(11 * TOKEN), True)

    async def test_64_at_once_get_exactly_what_there_is_room_for(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        await define(running, tenant_id, 105)
        tried = await asyncio.gather(
            *(reserve(ledger, tenant_id, 10) for _ in range(64)), return_exceptions=True
        )
        calls = [each for each in tried if isinstance(each, Call)]
        refused = [each for each in tried if isinstance(each, ResourceExhausted)]
        assert (len(calls), len(refused)) == (10, 54)
        await asyncio.gather(*(settle(ledger, call, 1) for call in calls))
        assert await windows(running, tenant_id) == [(10, 0)]
        await spend(ledger, tenant_id, 95)
        with pytest.raises(ResourceExhausted):
            await reserve(ledger, tenant_id, 1)

    async def test_an_answer_is_refused_naming_the_budget_and_when_it_opens(
        self, start: Any, as_background: As, tenant_id: UUID
    ) -> None:
        running = await start()
        stub = running.stub(LlmGatewayServiceStub, caller="conversation")
        new = NewBudget("tenant", None, "day", 1, True)
        await budgets.create_budget(running.db, running.rt.clock, tenant_id, new)
        with as_background(tenant_id), pytest.raises(ResourceExhausted) as caught:
            await ask(stub, asking("Which port?", passage(ROUTER)))
        assert caught.value.reason == "BUDGET_EXHAUSTED"
        assert "$0.000000001 a day" in caught.value.message
        assert caught.value.retry_after_s
        assert await running.rows("select from usage_call") == []


class TestWarning:
    async def test_each_share_once_in_a_window(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        budget = await define(running, tenant_id, 100, hard=False)
        told: list[list[int]] = []
        for tokens in (79, 1, 5, 10, 4, 1, 50):
            await spend(ledger, tenant_id, tokens)
            told.append([e["percent"] for e in await running.events(events_pb2.BudgetWarned)])
        assert told == [[], [80], [80], [80, 90], [80, 90], [80, 90, 100], [80, 90, 100]]
        # A higher limit makes room for warnings to come again; a new day does, too.
        await budgets.update_budget(running.db, tenant_id, budget.budget_id, 200 * TOKEN, None, {})
        await spend(ledger, tenant_id, 10)
        running.advance(seconds=86_400)
        await spend(ledger, tenant_id, 95 * 2)
        percents = [e["percent"] for e in await running.events(events_pb2.BudgetWarned)]
        assert percents == [80, 90, 100, 80, 80, 90]

    async def test_the_sweeper_gives_what_a_dead_process_did_not(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        await define(running, tenant_id, 100)
        call = await reserve(ledger, tenant_id, 90)
        meter = Meter(True, True, {Unit.OUTPUT: 90})
        entries = entries_of(call.row, call.prices, meter)
        due = await ledger_store.settle_call(running.db, call.row, "settled", "", entries, None)
        assert len(due) == 1
        for _ in range(2):
            await ledger.sweep(tenant_id)
        percents = [e["percent"] for e in await running.events(events_pb2.BudgetWarned)]
        assert percents == [80, 90]

    async def test_calls_at_once_warn_once(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        await define(running, tenant_id, 100)
        await asyncio.gather(*(spend(ledger, tenant_id, 10) for _ in range(10)))
        percents = [e["percent"] for e in await running.events(events_pb2.BudgetWarned)]
        assert sorted(percents) == [80, 90, 100]


class TestWindows:
    @pytest.mark.parametrize(
        ("zone", "day", "hours"),
        [
            ("UTC", date(2026, 3, 29), 24),
            ("Europe/Berlin", date(2026, 3, 29), 23),
            ("Europe/Berlin", date(2026, 10, 25), 25),
            # Midnight does not exist there that day, and comes twice here.
            ("Africa/Cairo", date(2026, 4, 24), 23),
            ("America/Havana", date(2026, 11, 1), 25),
            ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ],
    )
    def test_days_are_as_long_as_they_are(self, zone: str, day: date, hours: float) -> None:
        budget = a_budget(zone)
        lasts = window_end(budget, day) - window_start(budget, day)
        assert lasts.total_seconds() == hours * 3600
        assert window_end(budget, day) == window_start(
            budget, date.fromordinal(day.toordinal() + 1)
        )

    async def test_the_database_counts_a_moment_in_the_window_that_we_show(
        self, running: Running
    ) -> None:
        """Every quarter of an hour of the months in which clocks change."""
        for zone in ("UTC", "Europe/Berlin", "Africa/Cairo", "America/Havana"):
            rows = await running.rows(
                "select at, budget_start(at, %s, 'day') as day,"
                "  budget_start(at, %s, 'month') as month"
                " from generate_series('2026-01-01'::timestamptz, '2026-12-31', '15 min') at"
                " where extract(month from at) in (3, 4, 10, 11)",
                zone,
                zone,
            )
            for row in rows:
                for period in ("day", "month"):
                    budget = a_budget(zone, period)
                    starts, ends = (f(budget, row[period]) for f in (window_start, window_end))
                    assert starts <= row["at"] < ends

    async def test_midnight_of_the_tenant_opens_the_next(
        self, running: Running, stub: Any, ledger: Ledger, as_identity: As, tenant_id: UUID
    ) -> None:
        await define(running, tenant_id, 10)
        with as_identity(tenant_id, role="admin"):
            with pytest.raises(InvalidArgument):
                await stub.SetBudgetTimeZone(pb.SetBudgetTimeZoneRequest(time_zone="Mars/Olympus"))
            zone = pb.SetBudgetTimeZoneRequest(time_zone="Pacific/Auckland")
            await stub.SetBudgetTimeZone(zone)
            await spend(ledger, tenant_id, 10)
            with pytest.raises(ResourceExhausted) as caught:
                await reserve(ledger, tenant_id, 1)
            found = await stub.ListBudgets(pb.ListBudgetsRequest())
        assert found.time_zone == "Pacific/Auckland"
        end = found.items[0].windows[0].end_time.ToDatetime(tzinfo=UTC)
        assert caught.value.details["open_time"] == end.isoformat()
        running.advance(seconds=(end - running.rt.clock.now()).total_seconds() + 1)
        await spend(ledger, tenant_id, 10)

    async def test_a_new_conversation_reads_nothing_of_what_others_spent(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        """In the month in which its budget is made, too."""
        await define(running, tenant_id, 1_000, "conversation", period="month")
        busy = Attribution("turn", conversation_id=uuid4())
        for _ in range(20):
            await spend(ledger, tenant_id, 1, busy)
        call = await reserve(ledger, tenant_id, 1)
        new = replace(call.row, call_id=uuid4(), conversation_id=uuid4())
        read = (
            "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables"
            " where relid = 'usage_entry'::regclass"
        )
        async with running.db.tenant(tenant_id) as conn:
            made = await conn.execute(
                "select reserve_call(jsonb_populate_record(null::usage_call, %s), 60)",
                [Jsonb(new, msgspec.json.encode)],
            )
            assert await made.fetchone() == (None,)
            assert await (await conn.execute(read)).fetchone() == (0,)
        assert len(await windows(running, tenant_id)) == 2

    async def test_old_windows_are_forgotten(
        self, running: Running, ledger: Ledger, tenant_id: UUID
    ) -> None:
        await define(running, tenant_id, 10)
        await spend(ledger, tenant_id, 10)
        assert await budgets.forget_windows(running.db, running.rt.clock) == 0
        running.advance(seconds=80 * 86_400)
        assert await budgets.forget_windows(running.db, running.rt.clock) == 1
