"""Every listener sees every event once, in order, whenever and wherever it listens."""

import asyncio
import random
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from conversation import listening
from conversation.editing import Edit
from conversation.hub import Hub
from conversation.store.conversations import lock_conversation
from fakes.neighbours import completed
from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1 import conversation_service_pb2 as service
from fleetkit.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from fleetkit.ids import new_id
from harness.conversing import Visitor, kinds, said
from harness.services import Running
from harness.waiting import eventually

QUESTION = "How do I reset the router?"
WORDS = [f"w{number} " for number in range(120)]


def until_end(events: AsyncIterator[pb.TurnEvent], ends: int = 1) -> "asyncio.Task[list]":
    """A task that listens until the end of that many answers."""

    async def listen() -> list[pb.TurnEvent]:
        heard: list[pb.TurnEvent] = []
        left = ends
        async for event in events:
            heard.append(event)
            left -= event.WhichOneof("event") in ("finished", "failed")
            if left == 0:
                break
        return heard

    return asyncio.create_task(listen())


async def first(events: AsyncIterator[pb.TurnEvent], kind: str) -> pb.TurnEvent:
    """The first event of a kind."""
    async for event in events:
        if event.WhichOneof("event") == kind:
            return event
    raise AssertionError(f"there was no {kind}")


@pytest.fixture
def slow_script(neighbours) -> None:
    """An answer of 120 words over about a second."""
    script: list = []
    for word in WORDS:
        script += [word, 0.008]
    neighbours.llm.script = (*script, completed())


class TestAnyTime:
    async def test_nothing_is_lost_or_doubled_at_any_moment(self, running, visitor, slow_script):
        """Listeners of all kinds join throughout a turn and after it; all hear the same."""
        rng = random.Random(7)
        asked = asyncio.create_task(visitor.ask(QUESTION, "r1"))
        await first(visitor.watching(), "started")
        joined: list[asyncio.Task] = []
        watched: list[tuple[int, asyncio.Task]] = []
        while not asked.done():
            after = rng.randint(0, (await visitor.read()).position)
            watched.append((after, until_end(visitor.watching(after))))
            joined.append(asyncio.create_task(visitor.ask(QUESTION, "r1")))
            await asyncio.sleep(rng.random() * 0.05)
        turn = await asked
        whole = await until_end(visitor.watching())
        assert said(turn).startswith("".join(WORDS))
        assert [event.position for event in whole] == list(range(1, len(whole) + 1))
        assert [event for event in whole if event.message_id == turn[0].message_id] == turn
        assert len(watched) > 5
        for listener in joined:
            assert await listener == turn
        for after, listener in watched:
            assert await listener == [event for event in whole if event.position > after]

    async def test_a_broken_connection_resumes_after_the_last_event(
        self, running, visitor, slow_script
    ):
        """The listener goes away after each few events, and goes on by the SSE id."""
        rng = random.Random(3)
        asked = asyncio.create_task(visitor.ask(QUESTION))
        heard: list[pb.TurnEvent] = []
        while not heard or heard[-1].WhichOneof("event") != "finished":
            after = f"{heard[-1].message_id}:{heard[-1].sequence}" if heard else ""
            stay = rng.randint(1, 6)
            async for event in visitor.watching(after_event=after):
                heard.append(event)
                stay -= 1
                if stay == 0 or event.HasField("finished"):
                    break
        turn = await asked
        assert kinds(heard) == ["posted", "started", "delta", "handoff", "status", "finished"]
        assert [event.position for event in heard] == list(range(1, len(heard) + 1))
        assert [event for event in heard if event.message_id == turn[0].message_id] == turn

    async def test_what_is_read_and_what_follows_fit_together(self, running, visitor, slow_script):
        """GetConversation in the middle of an answer, then listening from its position."""
        asked = asyncio.create_task(visitor.ask(QUESTION))
        await first(visitor.watching(), "delta")
        texts: list[str] = []
        while not asked.done():
            found = await visitor.read()
            if found.messages[-1].status != pb.MESSAGE_STATUS_ANSWERING:
                break
            rest = await until_end(visitor.watching(found.position))
            texts.append(found.messages[-1].text + said(rest))
        turn = await asked
        assert texts
        assert set(texts) == {said(turn)}

    async def test_a_turn_outlives_its_listener(self, visitor, slow_script):
        async for event in visitor.asking(QUESTION):
            if event.HasField("delta"):
                break

        async def ended() -> bool:
            return (await visitor.answer()).status == pb.MESSAGE_STATUS_COMPLETED

        await eventually(ended)
        assert (await visitor.answer()).text.startswith("".join(WORDS))


class TestReplicas:
    @pytest.fixture
    async def other(self, start, running) -> Running:
        """A second replica on the same database, whose listeners hardly look by themselves."""
        return await start(database=running.database, watch_poll_s=60)

    async def test_listeners_of_another_replica_hear_the_same(
        self, running, other, visitor, slow_script
    ):
        there = visitor.on(other)
        asked = asyncio.create_task(visitor.ask(QUESTION, "r1"))
        watched = until_end(there.watching(timeout_s=60))
        await first(there.watching(timeout_s=60), "delta")
        joined = asyncio.create_task(there.ask(QUESTION, "r1"))
        turn = await asked
        # Long before they would look without being told.
        whole = await asyncio.wait_for(watched, 15)
        assert await asyncio.wait_for(joined, 15) == turn
        assert [event.position for event in whole] == list(range(1, len(whole) + 1))
        assert [event for event in whole if event.message_id == turn[0].message_id] == turn

    async def test_a_question_asked_there_is_refused_while_one_is_answered_here(
        self, running, other, visitor, slow_script
    ):
        asked = asyncio.create_task(visitor.ask(QUESTION))
        await first(visitor.watching(), "started")
        with pytest.raises(FailedPrecondition) as caught:
            await visitor.on(other).ask("And the camera?")
        assert caught.value.reason == "TURN_IN_PROGRESS"
        await asked

    async def test_canceling_there_stops_it_here(self, running, other, visitor, neighbours):
        neighbours.llm.script = ("Hold ", asyncio.Event())
        asked = asyncio.create_task(visitor.ask(QUESTION))
        await first(visitor.watching(), "delta")
        request = service.CancelTurnRequest(conversation_id=visitor.conversation_id)
        with visitor.itself():
            stopped = await visitor.on(other).stub.CancelTurn(request)
        turn = await asked
        assert stopped.message_id == turn[0].message_id
        assert turn[-1].finished.message.status == pb.MESSAGE_STATUS_CANCELED

    async def test_lost_notifications_are_made_up_for(self, start, running, visitor, slow_script):
        """The connection that hears of other replicas breaks again and again."""
        other = await start(database=running.database, watch_poll_s=0.2)
        watched = until_end(visitor.on(other).watching())
        asked = asyncio.create_task(visitor.ask(QUESTION))
        while not asked.done():
            await running.rows(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'conversation-listener' and datname = %s",
                running.database.name,
            )
            await asyncio.sleep(0.1)
        turn = await asked
        whole = await watched
        assert [event for event in whole if event.message_id == turn[0].message_id] == turn


class TestWatchConversation:
    async def test_carries_everything_that_happens(self, visitor, conversations):
        watched = until_end(visitor.watching(), ends=2)
        named = {"conversation_id": visitor.conversation_id}
        await visitor.ask(QUESTION)
        with visitor.person():
            await conversations.TakeOver(service.TakeOverRequest(**named))
            await conversations.Reply(service.ReplyRequest(text="Hello, Bob here.", **named))
            await conversations.HandBack(service.HandBackRequest(**named))
        await visitor.ask(QUESTION)
        answer = ["posted", "started", "delta", "citations", "finished"]
        heard = await watched
        assert kinds(heard) == [*answer, "status", "posted", "status", *answer]
        assert len({(event.message_id, event.sequence) for event in heard}) == len(heard)

    async def test_ends_quietly_before_the_deadline(self, visitor):
        await visitor.ask(QUESTION)
        heard = [event async for event in visitor.watching(timeout_s=1.5)]
        assert kinds(heard)[-1] == "finished"

    async def test_refuses_a_place_where_nothing_is(self, visitor, arrive, running):
        other = await arrive(running)
        turn = await visitor.ask(QUESTION)
        foreign = (await other.ask("Hello!"))[0]
        last = turn[-1]
        for fields, field in (
            ({"after_position": last.position + 1}, "after_position"),
            ({"after_position": -1}, "after_position"),
            ({"after_event": "x"}, "after_event"),
            ({"after_event": f"{last.message_id}:x"}, "after_event"),
            ({"after_event": f"{last.message_id}:{last.sequence + 1}"}, "after_event"),
            ({"after_event": f"{last.message_id}:0"}, "after_event"),
            ({"after_event": f"{last.message_id}:99999999999999999999"}, "after_event"),
            ({"after_event": f"{foreign.message_id}:1"}, "after_event"),
        ):
            with pytest.raises(InvalidArgument) as caught:
                await first(visitor.watching(**fields), "never")
            assert caught.value.field == field

    async def test_says_when_events_have_expired(self, running, visitor, tenant_id):
        last = (await visitor.ask(QUESTION))[-1]
        async with running.db.tenant(tenant_id) as conn:
            await conn.execute("delete from turn_events where tenant_id = %s", [tenant_id])
        with pytest.raises(FailedPrecondition) as caught:
            await first(visitor.watching(after_event=f"{last.message_id}:{last.sequence}"), "never")
        assert caught.value.reason == "EVENTS_EXPIRED"
        # From the beginning there is simply nothing but what comes.
        watched = until_end(visitor.watching())
        await visitor.ask("Hello!")
        assert kinds(await watched) == ["posted", "started", "delta", "finished"]

    async def test_is_told_to_come_again_when_the_process_stops(self, running, visitor):
        await visitor.ask(QUESTION)
        listening = visitor.watching()
        while not (await anext(listening)).HasField("finished"):
            pass
        stopping = asyncio.create_task(running.rt.drain())
        with pytest.raises(Unavailable):
            await anext(listening)
        await stopping

    async def test_of_an_unknown_conversation_finds_nothing(self, conversations, visitor):
        unknown = "00000000-0000-0000-0000-000000000001"
        request = service.WatchConversationRequest(conversation_id=unknown)
        with visitor.person(), pytest.raises(NotFound):
            async for _ in conversations.WatchConversation(request, timeout=5):
                pass


class TestFollow:
    async def test_a_gap_in_what_is_handed_over_is_filled_from_the_table(
        self, running, visitor, tenant_id
    ):
        """The hub of another replica, which hears of the last event only."""
        hub = Hub()
        settings = running.rt.settings.model_copy(update={"watch_poll_s": 30})
        deps: Any = SimpleNamespace(db=running.db, hub=hub, settings=settings)
        conversation_id = UUID(visitor.conversation_id)
        before = await visitor.ask(QUESTION)
        follower = listening.follow(deps, tenant_id, conversation_id, before[-1].position)
        hearing = asyncio.create_task(anext(follower))
        await eventually(lambda: asyncio.sleep(0, hub._subscriptions))
        turn = await visitor.ask(QUESTION)
        hub.hand_over(conversation_id, [turn[-1]])
        heard = [await hearing] + [await anext(follower) for _ in range(len(turn))]
        # The question comes first, then the turn, all of it.
        assert heard[1:] == turn
        # What comes late once more is not heard again.
        hub.hand_over(conversation_id, turn)
        hub.tell(conversation_id, turn[-1].position)
        last = await visitor.ask("Hello!")
        hub.tell(conversation_id, last[-1].position)
        assert (await anext(follower)).posted.message.text == "Hello!"
        await follower.aclose()
        assert hub._subscriptions == {}

    async def test_who_is_too_slow_for_the_hub_loses_nothing(self, running, visitor, tenant_id):
        """More is handed over than a subscription holds."""
        hub = Hub()
        deps: Any = SimpleNamespace(db=running.db, hub=hub, settings=running.rt.settings)
        conversation_id = UUID(visitor.conversation_id)
        events = [event async for event in many_events(running, visitor, tenant_id, 700)]
        follower = listening.follow(deps, tenant_id, conversation_id, 0)
        heard = [await anext(follower)]
        for event in events:
            hub.hand_over(conversation_id, [event])
        heard += [await anext(follower) for _ in range(699)]
        assert [event.position for event in heard] == list(range(1, 701))
        await follower.aclose()


async def many_events(
    running: Running, visitor: Visitor, tenant_id: UUID, count: int
) -> AsyncIterator[pb.TurnEvent]:
    """Stores deltas of one message, and gives them with their positions."""
    message_id = str(new_id())
    events = [
        pb.TurnEvent(message_id=message_id, sequence=number, delta=pb.TurnDelta(text="x"))
        for number in range(1, count + 1)
    ]
    async with running.db.tenant(tenant_id) as conn:
        row = await lock_conversation(conn, tenant_id, UUID(visitor.conversation_id))
        assert row is not None
        edit = Edit(conn, tenant_id, row)
        for event in events:
            edit.emit(event)
        placed = await edit.flush()
    for event in placed:
        yield event
