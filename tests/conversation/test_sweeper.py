"""Turns of processes that are gone; what expires."""

import asyncio
from contextlib import suppress
from uuid import UUID

import pytest
from fakes.neighbours import ANSWER_NANOS, completed
from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1 import events_pb2
from fleetdesk.gateway.v1 import events_pb2 as gateway_events
from fleetdesk.llm_gateway.v1.usage_pb2 import UsageEntry
from fleetkit.errors import FailedPrecondition
from fleetkit.ids import new_id
from fleetkit.postgres import remember_tenant
from harness.conversing import Visitor, kinds, said
from harness.services import Running
from harness.waiting import eventually

QUESTION = "How do I reset the router?"


async def orphan(running: Running, visitor: Visitor, lease_s: float) -> UUID:
    """A turn as a killed process leaves it: two events, some text, and a lease that runs out."""
    question_id, message_id = new_id(), new_id()
    conversation_id = UUID(visitor.conversation_id)
    started = pb.TurnEvent(
        message_id=str(message_id),
        sequence=1,
        started=pb.TurnStarted(question_id=str(question_id)),
    )
    delta = pb.TurnEvent(
        message_id=str(message_id), sequence=2, delta=pb.TurnDelta(text="Hold the ")
    )
    tenant = visitor.tenant_id
    async with running.db.tenant(tenant) as conn:
        await remember_tenant(conn, tenant)
        await conn.execute(
            "insert into message (tenant_id, message_id, conversation_id, number, role, status,"
            "  text, create_time) values (%s, %s, %s, 1, 'visitor', 'completed', %s, now())",
            [tenant, question_id, conversation_id, QUESTION],
        )
        await conn.execute(
            "insert into message (tenant_id, message_id, conversation_id, number, role, status,"
            "  question_id, owner, lease_until, create_time) values (%s, %s, %s, 2, 'agent',"
            "  'answering', %s, %s, clock_timestamp() + make_interval(secs => %s), now())",
            [tenant, message_id, conversation_id, question_id, new_id(), lease_s],
        )
        await conn.execute(
            "update conversation set last_position = 2, message_count = 2"
            " where tenant_id = %s and conversation_id = %s",
            [tenant, conversation_id],
        )
        for position, event in enumerate((started, delta), start=1):
            await conn.execute(
                "insert into turn_events (tenant_id, conversation_id, position, message_id,"
                "  sequence, event, create_time) values (%s, %s, %s, %s, %s, %s, now())",
                [
                    tenant,
                    conversation_id,
                    position,
                    message_id,
                    event.sequence,
                    event.SerializeToString(),
                ],
            )
    return message_id


class TestAbandonedTurns:
    async def test_are_closed_with_their_cost_and_listeners_hear_of_it(
        self, start, arrive, neighbours
    ):
        running = await start(turn_sweep_interval_s=0.2)
        visitor = await arrive(running)
        message_id = await orphan(running, visitor, lease_s=0.5)
        neighbours.llm.ledger.append(
            UsageEntry(message_id=str(message_id), amount_nanos=ANSWER_NANOS)
        )
        heard = []
        async for event in visitor.watching():
            heard.append(event)
            if event.HasField("failed"):
                break
        assert kinds(heard) == ["started", "delta", "failed"]
        assert [event.sequence for event in heard] == [1, 2, 3]
        failed = heard[-1].failed
        assert failed.reason == "INTERRUPTED"
        assert failed.message.text == "Hold the "
        assert failed.message.receipt.total_nanos == ANSWER_NANOS
        [event] = await running.events(events_pb2.MessageCompleted)
        assert (event["messageId"], event["status"]) == (str(message_id), "MESSAGE_STATUS_FAILED")

    async def test_are_closed_at_the_start(self, start, arrive, running):
        visitor = await arrive(running)
        await orphan(running, visitor, lease_s=-1)
        again = await start(database=running.database, turn_sweep_interval_s=3600)

        async def closed() -> bool:
            return (await visitor.on(again).answer()).status == pb.MESSAGE_STATUS_FAILED

        await eventually(closed)

    async def test_with_a_lease_are_left_alone(self, start, arrive, neighbours):
        running = await start(turn_sweep_interval_s=0.05)
        visitor = await arrive(running)
        await orphan(running, visitor, lease_s=60)
        await asyncio.sleep(0)
        with pytest.raises(FailedPrecondition) as caught:
            await visitor.ask(QUESTION)
        assert caught.value.reason == "TURN_IN_PROGRESS"
        assert (await visitor.answer()).status == pb.MESSAGE_STATUS_ANSWERING

    async def test_do_not_keep_the_visitor_from_asking_on(self, start, arrive, neighbours):
        """The next question closes what the last process left, without waiting for the sweep."""
        running = await start(turn_sweep_interval_s=3600)
        visitor = await arrive(running)
        message_id = await orphan(running, visitor, lease_s=0.5)
        turn = await visitor.ask(QUESTION)
        assert kinds(turn)[-1] == "finished"
        statuses = {
            message.message_id: message.status for message in (await visitor.read()).messages
        }
        assert statuses[str(message_id)] == pb.MESSAGE_STATUS_FAILED

    async def test_are_closed_once_by_many_replicas(self, start, arrive):
        running = await start(turn_sweep_interval_s=0.05)
        others = [
            await start(database=running.database, turn_sweep_interval_s=0.05) for _ in range(2)
        ]
        visitor = await arrive(running)
        await orphan(running, visitor, lease_s=0.2)

        async def closed() -> bool:
            return (await visitor.answer()).status == pb.MESSAGE_STATUS_FAILED

        await eventually(closed)
        assert len(others) == 2
        assert len(await running.events(events_pb2.MessageCompleted)) == 1


class TestLease:
    async def test_a_live_turn_keeps_its_lease_against_other_replicas(
        self, start, arrive, neighbours
    ):
        running = await start(turn_lease_s=0.6)
        visitor = await arrive(running)
        async with running.db.tenant(visitor.tenant_id) as conn:
            await remember_tenant(conn, visitor.tenant_id)
        await start(database=running.database, turn_lease_s=0.6, turn_sweep_interval_s=0.05)
        neighbours.llm.script = ("Hold ", 2.0, "it.", completed())
        turn = await visitor.ask(QUESTION)
        assert said(turn).startswith("Hold it.")

    async def test_of_a_turn_that_never_began_is_not_kept_up(self, start, arrive, neighbours):
        """A commit that was made but never heard of leaves a row of this very process."""
        running = await start(turn_lease_s=0.6, turn_sweep_interval_s=0.1)
        visitor, other = await arrive(running), await arrive(running)
        neighbours.llm.script = ("Hold ", asyncio.Event())
        asked = asyncio.create_task(other.ask(QUESTION))
        async for event in other.watching():
            if event.HasField("delta"):
                break
        message_id = await orphan(running, visitor, lease_s=0.6)
        async with running.db.tenant(visitor.tenant_id) as conn:
            # Both belong to this process; it answers only the other visitor's.
            await conn.execute(
                "update message set owner = (select owner from message where tenant_id = %s"
                "  and status = 'answering' and message_id <> %s)"
                " where tenant_id = %s and message_id = %s",
                [visitor.tenant_id, message_id, visitor.tenant_id, message_id],
            )

        async def closed() -> bool:
            return (await visitor.answer()).status == pb.MESSAGE_STATUS_FAILED

        await eventually(closed)
        assert (await other.answer()).status == pb.MESSAGE_STATUS_ANSWERING
        asked.cancel()

    async def test_a_turn_that_lost_its_lease_writes_nothing_more(self, start, arrive, neighbours):
        """Another replica has closed it: what the first still says must not come after that."""
        running = await start(turn_lease_s=60)
        visitor = await arrive(running)
        gate = asyncio.Event()
        neighbours.llm.script = ("Hold ", gate, "the ", 0.2, "button.", completed())
        asked = asyncio.create_task(visitor.ask(QUESTION))
        async for event in visitor.watching():
            if event.HasField("delta"):
                break
        async with running.db.tenant(visitor.tenant_id) as conn:
            await remember_tenant(conn, visitor.tenant_id)
            await conn.execute(
                "update message set lease_until = now() - interval '1 second'"
                " where tenant_id = %s and status = 'answering'",
                [visitor.tenant_id],
            )
        await start(database=running.database, turn_sweep_interval_s=0.05)
        turn = await asked
        assert kinds(turn) == ["started", "delta", "failed"]
        gate.set()
        await eventually(lambda: asyncio.sleep(0, neighbours.llm.ledger[1:]))
        assert kinds(await visitor.ask("Hello!"))[-1] == "finished"
        [row] = await running.rows(
            "select text, status from message where message_id = %s", turn[0].message_id
        )
        assert row == {"text": "Hold ", "status": "failed"}
        assert len(await running.events(events_pb2.MessageCompleted)) == 2


class TestPrune:
    async def test_deletes_old_events_and_keeps_texts(self, running, visitor, bus):
        await bus.emit(
            gateway_events.TenantCreated(agent_id=str(new_id()), revision=1), visitor.tenant_id
        )
        await eventually(lambda: running.rows("select 1 from known_tenants"))
        await visitor.ask(QUESTION)
        await running.rt.commands["prune"]()
        assert await running.rows("select 1 from turn_events") != []
        running.advance(seconds=8 * 24 * 3600)
        turn = await visitor.ask("Hello!")

        async def are_pruned() -> bool:
            # The schedule may have been quicker, and be at it still: the clock moved for it too.
            with suppress(FailedPrecondition):
                await running.rt.commands["prune"]()
            kept = await running.rows("select position from turn_events order by position")
            # The question, and what answered it.
            return [row["position"] for row in kept][1:] == [event.position for event in turn]

        await eventually(are_pruned)
        texts = [message.text for message in (await visitor.read()).messages]
        assert texts[0] == QUESTION
        assert len(texts) == 4

    async def test_keeps_the_events_of_a_turn_in_flight(self, running, visitor):
        await orphan(running, visitor, lease_s=60)
        running.advance(seconds=8 * 24 * 3600)
        await running.rt.commands["prune"]()
        assert len(await running.rows("select 1 from turn_events")) == 2
