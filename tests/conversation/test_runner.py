"""Turns are tasks of their own: stopping them, their deadline, how many, and the process's end."""

import asyncio

import pytest
from fakes.neighbours import ANSWER_NANOS, EMBED_NANOS, completed
from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1 import conversation_service_pb2 as service
from fleetdesk.conversation.v1 import events_pb2
from fleetkit.errors import ResourceExhausted, Unavailable
from harness.conversing import Visitor, kinds, said
from harness.waiting import eventually

QUESTION = "How do I reset the router?"


async def cancel(visitor: Visitor) -> str:
    """Cancels as the visitor; the message that was stopped."""
    request = service.CancelTurnRequest(conversation_id=visitor.conversation_id)
    with visitor.itself():
        return (await visitor.stub.CancelTurn(request)).message_id


async def begin(visitor: Visitor, kind: str = "delta") -> "asyncio.Task[list[pb.TurnEvent]]":
    """Asks, and waits for the first event of a kind."""
    asked = asyncio.create_task(visitor.ask(QUESTION))
    async for event in visitor.watching():
        if event.WhichOneof("event") == kind:
            break
    return asked


class TestCancelTurn:
    async def test_keeps_what_was_sent_and_what_it_cost(self, running, visitor, neighbours):
        neighbours.llm.script = ("Hold the ", asyncio.Event(), "button.", completed())
        asked = await begin(visitor)
        stopped = await cancel(visitor)
        turn = await asked
        assert kinds(turn) == ["started", "delta", "finished"]
        message = turn[-1].finished.message
        assert message.message_id == stopped
        assert message.status == pb.MESSAGE_STATUS_CANCELED
        assert message.text == said(turn) == "Hold the "
        assert message.receipt.total_nanos == EMBED_NANOS + ANSWER_NANOS
        assert neighbours.llm.cut == 1
        [event] = await running.events(events_pb2.MessageCompleted)
        assert event["status"] == "MESSAGE_STATUS_CANCELED"

    async def test_stops_a_turn_that_still_searches(self, visitor, neighbours):
        neighbours.retrieval.gate = asyncio.Event()
        asked = await begin(visitor, "started")
        await eventually(lambda: asyncio.sleep(0, neighbours.retrieval.queries))
        await cancel(visitor)
        turn = await asked
        assert kinds(turn) == ["started", "finished"]
        assert turn[-1].finished.message.text == ""

    async def test_lets_the_next_question_be_answered(self, visitor, neighbours):
        neighbours.llm.script = ("Hold the ", asyncio.Event())
        asked = await begin(visitor)
        await cancel(visitor)
        await asked
        neighbours.llm.script = ("Hold it.", completed())
        assert said(await visitor.ask(QUESTION)).startswith("Hold it.")

    async def test_of_nothing_does_nothing(self, visitor):
        assert await cancel(visitor) == ""
        await visitor.ask(QUESTION)
        assert await cancel(visitor) == ""
        assert (await visitor.answer()).status == pb.MESSAGE_STATUS_COMPLETED

    async def test_again_and_again_is_one_cancel(self, running, visitor, neighbours):
        neighbours.llm.script = ("Hold the ", asyncio.Event())
        asked = await begin(visitor)
        await asyncio.gather(*(cancel(visitor) for _ in range(5)))
        await asked
        assert len(await running.events(events_pb2.MessageCompleted)) == 1

    async def test_a_lost_notification_is_made_up_for(self, start, arrive, neighbours, tenant_id):
        """The flag alone stops it, at the next beat of the lease."""
        running = await start(turn_lease_s=0.5)
        visitor = await arrive(running)
        neighbours.llm.script = ("Hold the ", asyncio.Event())
        asked = await begin(visitor)
        async with running.db.tenant(tenant_id) as conn:
            await conn.execute(
                "update message set cancel_requested = true"
                " where tenant_id = %s and status = 'answering'",
                [tenant_id],
            )
        assert (await asked)[-1].finished.message.status == pb.MESSAGE_STATUS_CANCELED


class TestDeadline:
    async def test_fails_the_turn_with_its_text_and_cost(self, start, arrive, neighbours):
        running = await start(turn_deadline_s=1)
        visitor = await arrive(running)
        neighbours.llm.script = ("Hold the ", asyncio.Event())
        turn = await visitor.ask(QUESTION)
        failed = turn[-1].failed
        assert failed.reason == "DEADLINE_EXCEEDED"
        assert "too long" in failed.detail
        assert failed.message.text == "Hold the "
        assert failed.message.receipt.total_nanos == EMBED_NANOS + ANSWER_NANOS

    async def test_counts_the_search_too(self, start, arrive, neighbours):
        running = await start(turn_deadline_s=0.5)
        visitor = await arrive(running)
        neighbours.retrieval.gate = asyncio.Event()
        turn = await visitor.ask(QUESTION)
        assert kinds(turn) == ["started", "failed"]
        assert turn[-1].failed.reason == "DEADLINE_EXCEEDED"


class TestManyTurns:
    async def test_refuses_more_than_it_can_answer(self, start, arrive, neighbours):
        running = await start(max_concurrent_turns=2)
        visitors = [await arrive(running) for _ in range(3)]
        gate = asyncio.Event()
        neighbours.llm.script = ("Hold ", gate, "it.", completed())
        asked = [await begin(visitor) for visitor in visitors[:2]]
        with pytest.raises(ResourceExhausted) as caught:
            await visitors[2].ask(QUESTION)
        assert caught.value.reason == "TOO_MANY_TURNS"
        assert caught.value.retry_after_s
        assert (await visitors[2].read()).conversation.message_count == 0
        gate.set()
        await asyncio.gather(*asked)
        assert kinds(await visitors[2].ask(QUESTION))[-1] == "finished"

    async def test_joining_takes_no_place(self, start, arrive, neighbours):
        running = await start(max_concurrent_turns=1)
        visitor = await arrive(running)
        gate = asyncio.Event()
        neighbours.llm.script = ("Hold ", gate, completed())
        first = asyncio.create_task(visitor.ask(QUESTION, "r1"))
        async for event in visitor.watching():
            if event.HasField("delta"):
                break
        second = asyncio.create_task(visitor.ask(QUESTION, "r1"))
        gate.set()
        assert await first == await second

    async def test_places_of_refused_questions_are_free_again(self, start, arrive, neighbours):
        running = await start(max_concurrent_turns=1)
        visitor = await arrive(running)
        await visitor.ask(QUESTION, "r1")
        for _ in range(3):
            await visitor.ask(QUESTION, "r1")
            with pytest.raises(Exception, match="another text"):
                await visitor.ask("Else?", "r1")
        assert kinds(await visitor.ask(QUESTION))[-1] == "finished"

    async def test_answers_sixteen_visitors_at_once(self, running, arrive, neighbours):
        visitors = [await arrive(running) for _ in range(16)]
        words = [f"w{number} " for number in range(40)]
        neighbours.llm.script = (*(piece for word in words for piece in (word, 0.01)), completed())
        turns = await asyncio.gather(*(visitor.ask(QUESTION) for visitor in visitors))
        assert all(said(turn).startswith("".join(words)) for turn in turns)
        totals = {turn[-1].finished.message.receipt.total_nanos for turn in turns}
        assert totals == {EMBED_NANOS + ANSWER_NANOS}


class TestDrain:
    async def test_lets_a_turn_finish_within_the_grace(self, start, arrive, neighbours):
        running = await start(shutdown_grace_s=20)
        visitor = await arrive(running)
        gate = asyncio.Event()
        neighbours.llm.script = ("Hold ", gate, "it.", completed())
        asked = await begin(visitor)
        stopping = asyncio.create_task(running.rt.drain())
        with pytest.raises(Unavailable):
            # No new question is taken, here or at a server that is closed by now.
            await visitor.ask("And the camera?")
        gate.set()
        assert said(await asked).startswith("Hold it.")
        await stopping
        [row] = await running.rows("select status from message where role = 'agent'")
        assert row["status"] == "completed"

    async def test_fails_at_once_what_does_not_finish(self, start, arrive, neighbours):
        running = await start(shutdown_grace_s=1.5)
        visitor = await arrive(running)
        neighbours.llm.script = ("Hold ", asyncio.Event())
        asked = await begin(visitor)
        await running.rt.drain()
        turn = await asked
        assert kinds(turn) == ["started", "delta", "failed"]
        assert turn[-1].failed.reason == "SHUTTING_DOWN"
        [row] = await running.rows("select status, owner from message where role = 'agent'")
        assert row == {"status": "failed", "owner": None}
