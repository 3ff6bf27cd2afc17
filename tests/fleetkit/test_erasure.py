"""Erasure in one service, over the real bus: what goes, what late events do, what the bus keeps."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fleetdesk.conversation.v1 import conversation_pb2
from fleetdesk.conversation.v1 import events_pb2 as conversation_events
from fleetdesk.gateway.v1 import events_pb2 as gateway_events
from fleetdesk.llm_gateway.v1 import events_pb2 as llm_gateway_events
from fleetkit.events import streams
from harness.services import Running, TestBus
from harness.waiting import eventually


def answered(conversation_id: UUID, visitor_id: UUID, at: datetime) -> Any:
    """An answered turn."""
    event = conversation_events.MessageCompleted(
        conversation_id=str(conversation_id),
        message_id=str(uuid4()),
        agent_id=str(uuid4()),
        visitor_id=str(visitor_id),
        status=conversation_pb2.MESSAGE_STATUS_COMPLETED,
        outcome=conversation_pb2.OUTCOME_ANSWERED,
        revision=1,
    )
    event.occur_time.FromDatetime(at)
    return event


def erase(visitor_id: UUID | None = None, *conversation_ids: UUID) -> Any:
    """A request to erase a visitor or, without one, the tenant."""
    return gateway_events.ErasureRequested(
        erasure_id=str(uuid4()),
        visitor_id=str(visitor_id or ""),
        conversation_ids=[str(one) for one in conversation_ids],
        revision=1,
    )


@pytest.fixture
async def analytics(fleet_service: Callable[..., Any]) -> Running:
    return await fleet_service("analytics")


async def answers(running: Running) -> list[dict]:
    """The service's answers to erasures, as they wait in its outbox or were published."""
    return await running.rows("select body from outbox where type ~ 'ErasureCompleted'")


async def until_erased(running: Running, count: int = 1) -> None:
    async def has_answered() -> bool:
        return len(await answers(running)) == count

    await eventually(has_answered)


async def turns(running: Running) -> list[dict]:
    return await running.rows("select conversation_id, visitor_id from turn order by occur_time")


class TestVisitor:
    async def test_late_events_do_nothing_and_new_ones_count(
        self, analytics: Running, bus: TestBus, tenant_id: UUID
    ) -> None:
        visitor_id, conversation_id = uuid4(), uuid4()
        before = datetime.now(UTC) - timedelta(minutes=1)
        await bus.emit(answered(conversation_id, visitor_id, before), tenant_id)

        async def is_counted() -> bool:
            return len(await turns(analytics)) == 1

        await eventually(is_counted)
        await bus.emit(erase(visitor_id, conversation_id), tenant_id)
        await until_erased(analytics)
        assert [row["visitor_id"] for row in await turns(analytics)] == [UUID(int=0)]
        late = answered(uuid4(), visitor_id, before)
        of_the_conversation = answered(conversation_id, uuid4(), before)
        back_again = answered(uuid4(), visitor_id, datetime.now(UTC) + timedelta(minutes=1))
        for event in (late, of_the_conversation, back_again):
            await bus.emit(event, tenant_id)

        async def new_one_is_counted() -> bool:
            return len(await turns(analytics)) == 2

        await eventually(new_one_is_counted)
        handled = await analytics.rows("select event_id from inbox")
        assert {late.event_id, of_the_conversation.event_id} <= {
            str(r["event_id"]) for r in handled
        }
        assert len(await turns(analytics)) == 2

    async def test_costs_that_come_late_are_kept_without_the_visitor(
        self, analytics: Running, bus: TestBus, tenant_id: UUID
    ) -> None:
        visitor_id = uuid4()
        await bus.emit(erase(visitor_id, uuid4()), tenant_id)
        await until_erased(analytics)
        event = llm_gateway_events.UsageRecorded(call_id=str(uuid4()), revision=1)
        entry = event.entries.add(usage_id=str(uuid4()), visitor_id=str(visitor_id))
        entry.amount_nanos = 77
        entry.create_time.GetCurrentTime()
        await bus.emit(event, tenant_id)

        async def is_there() -> bool:
            rows = await analytics.rows("select amount_nanos, visitor_id from cost_entry")
            return rows == [{"amount_nanos": 77, "visitor_id": None}]

        await eventually(is_there)

    async def test_what_was_under_way_is_swept_later(
        self, analytics: Running, bus: TestBus, tenant_id: UUID
    ) -> None:
        visitor_id = uuid4()
        await bus.emit(erase(visitor_id, uuid4()), tenant_id)
        await until_erased(analytics)
        async with analytics.db.tenant(tenant_id) as conn:
            await conn.execute(
                "insert into conversation (tenant_id, conversation_id, visitor_id)"
                " values (%s, %s, %s)",
                [tenant_id, uuid4(), visitor_id],
            )
        analytics.advance(660)

        async def is_swept() -> bool:
            rows = await analytics.rows("select visitor_id from conversation")
            return rows == [{"visitor_id": None}]

        await eventually(is_swept)


class TestTheBus:
    """What it keeps of an erased tenant, and for how long."""

    async def erased_and_finished(self, running: Running, bus: TestBus, tenant_id: UUID) -> None:
        await bus.emit(erase(), tenant_id)
        await until_erased(running)
        finished = gateway_events.ErasureFinished(erasure_id=str(uuid4()), revision=1)
        await bus.emit(finished, tenant_id)

        async def waits_to_clear() -> bool:
            published = "select from outbox where publish_time is not null"
            waiting = "select from job where kind = 'erasure_clear_bus'"
            return bool(await running.rows(published) and await running.rows(waiting))

        await eventually(waits_to_clear)

    async def waits_again(self, running: Running, after_h: float) -> None:
        """Until the job has looked, and will look again after that many hours of real time."""

        async def has_looked() -> bool:
            jobs = await running.rows(
                "select payload from job where kind = 'erasure_clear_bus' and state = 'queued'"
                " and run_at > now() + make_interval(mins => %s)",
                round(after_h * 60),
            )
            return len(jobs) == 1 and jobs[0]["payload"]["awaited"] is True

        await eventually(has_looked)

    async def is_clear(self, running: Running) -> None:
        async def is_done() -> bool:
            return not await running.rows("select from outbox")

        await eventually(is_done)

    async def test_is_cleared_once_every_consumer_has_acknowledged(
        self, analytics: Running, bus: TestBus, tenant_id: UUID
    ) -> None:
        """One that is away for longer than a day must not miss what is owed."""
        stream = streams.stream_name("analytics")
        await streams.declare_stream(bus.js, "analytics")
        durable = await streams.declare_durable(
            bus.js,
            stream,
            "billing",
            ["fleetdesk.analytics.v1.erasure_completed.*"],
            ack_wait_s=30,
        )
        await self.erased_and_finished(analytics, bus, tenant_id)
        analytics.advance(25 * 3600)
        await self.waits_again(analytics, after_h=25.5)
        reader = await bus.js.pull_subscribe_bind(durable, stream)
        [message] = await reader.fetch(1, timeout=5)
        assert message.subject.endswith(str(tenant_id))
        analytics.advance(3700)
        await self.waits_again(analytics, after_h=26.5)
        await message.ack_sync()
        await reader.unsubscribe()
        analytics.advance(2 * 3600)
        await self.is_clear(analytics)
        assert (await bus.js.stream_info(stream)).state.messages == 0

    async def test_waits_no_longer_than_the_outbox_keeps_events(
        self, analytics: Running, bus: TestBus, tenant_id: UUID
    ) -> None:
        """Also where the stream has dropped them meanwhile: they may be replayed until then."""
        stream = streams.stream_name("analytics")
        await streams.declare_stream(bus.js, "analytics")
        await streams.declare_durable(
            bus.js, stream, "billing", ["fleetdesk.analytics.v1.>"], ack_wait_s=30
        )
        await self.erased_and_finished(analytics, bus, tenant_id)
        analytics.advance(25 * 3600)
        await self.waits_again(analytics, after_h=25.5)
        await bus.js.purge_stream(stream)
        analytics.advance(3700)
        await self.waits_again(analytics, after_h=26.5)
        analytics.advance(30 * 24 * 3600)
        await self.is_clear(analytics)

    async def test_does_not_wait_for_a_tenants_own_program(
        self, analytics: Running, bus: TestBus, tenant_id: UUID
    ) -> None:
        await streams.declare_stream(bus.js, "analytics")
        await streams.declare_integrator(bus.js, "analytics", tenant_id)
        await self.erased_and_finished(analytics, bus, tenant_id)
        analytics.advance(25 * 3600)
        await self.is_clear(analytics)


class TestTenant:
    async def test_goes_with_its_events_and_stays_gone(
        self, analytics: Running, bus: TestBus, tenant_id: UUID
    ) -> None:
        other = uuid4()
        now = datetime.now(UTC)
        for owner in (tenant_id, other):
            await bus.emit(answered(uuid4(), uuid4(), now), owner)

        async def both_counted() -> bool:
            return len(await turns(analytics)) == 2

        await eventually(both_counted)
        await bus.emit(erase(), tenant_id)
        await until_erased(analytics)
        assert len(await turns(analytics)) == 1
        await bus.emit(answered(uuid4(), uuid4(), now + timedelta(hours=1)), tenant_id)
        await bus.emit(erase(uuid4()), other)
        await until_erased(analytics, 2)
        assert len(await turns(analytics)) == 1
        finished = gateway_events.ErasureFinished(erasure_id=str(uuid4()), revision=1)
        await bus.emit(finished, tenant_id)

        async def bus_has(owner: UUID) -> bool:
            info = await bus.js.stream_info(
                streams.stream_name("analytics"), subjects_filter=f"fleetdesk.*.v1.*.{owner}"
            )
            return bool(info.state.subjects)

        async def is_published() -> bool:
            return await bus_has(tenant_id)

        await eventually(is_published)

        async def waits_to_clear() -> bool:
            return bool(await analytics.rows("select from job where kind = 'erasure_clear_bus'"))

        await eventually(waits_to_clear)
        analytics.advance(25 * 3600)

        async def is_cleared() -> bool:
            return not await bus_has(tenant_id)

        await eventually(is_cleared)
        assert await bus_has(other)

        async def is_forgotten() -> bool:
            rows = await analytics.rows("select tenant_id from outbox")
            known = await analytics.rows("select tenant_id from known_tenants")
            return {r["tenant_id"] for r in rows} == {other} == {r["tenant_id"] for r in known}

        await eventually(is_forgotten)
