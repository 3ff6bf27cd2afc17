"""Who answers: the agent, or a person who has taken over."""

import asyncio

import pytest
from fakes.neighbours import completed
from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1 import conversation_service_pb2 as service
from fleetdesk.conversation.v1 import events_pb2
from fleetkit.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from harness.conversing import Visitor, kinds, said

QUESTION = "How do I reset the router?"
OPEN = pb.CONVERSATION_STATUS_OPEN
WAITING = pb.CONVERSATION_STATUS_WAITING
TAKEN_OVER = pb.CONVERSATION_STATUS_TAKEN_OVER
RESOLVED = pb.CONVERSATION_STATUS_RESOLVED


async def as_person(visitor: Visitor, rpc: str, **fields) -> pb.Conversation:
    """Calls an RPC as an agent of the tenant."""
    request = getattr(service, f"{rpc}Request")(conversation_id=visitor.conversation_id, **fields)
    with visitor.person(subject="user-7"):
        return (await getattr(visitor.stub, rpc)(request)).conversation


async def reply(visitor: Visitor, text: str, request_id: str = "") -> pb.Message:
    request = service.ReplyRequest(
        conversation_id=visitor.conversation_id, text=text, request_id=request_id
    )
    with visitor.person(subject="user-7"):
        return (await visitor.stub.Reply(request)).message


class TestRequestHandoff:
    async def test_asks_for_a_person_once(self, running, visitor):
        request = service.RequestHandoffRequest(conversation_id=visitor.conversation_id)
        with visitor.itself():
            first = (await visitor.stub.RequestHandoff(request)).conversation
            again = (await visitor.stub.RequestHandoff(request)).conversation
        assert first.status == WAITING
        assert first.handoff_reason == pb.HANDOFF_REASON_VISITOR_REQUEST
        assert again == first
        [event] = await running.events(events_pb2.HandoffRequested)
        assert event["reason"] == "HANDOFF_REASON_VISITOR_REQUEST"
        assert event["revision"] == str(first.revision)

    async def test_leaves_a_person_who_answers_alone(self, running, visitor):
        await as_person(visitor, "TakeOver")
        assert (await as_person(visitor, "RequestHandoff")).status == TAKEN_OVER
        assert await running.events(events_pb2.HandoffRequested) == []


class TestTakeOver:
    async def test_silences_the_agent(self, running, visitor, neighbours):
        assert (await as_person(visitor, "TakeOver")).status == TAKEN_OVER
        [posted] = await visitor.ask(QUESTION, "r1")
        assert posted.posted.message.text == QUESTION
        assert posted.posted.message.role == pb.MESSAGE_ROLE_VISITOR
        assert neighbours.retrieval.queries == []
        assert (await visitor.read()).conversation.message_count == 1
        # The same request again joins that message.
        assert await visitor.ask(QUESTION, "r1") == [posted]
        with pytest.raises(AlreadyExists):
            await visitor.ask("Else?", "r1")

    async def test_stops_the_answer_being_written(self, visitor, neighbours):
        neighbours.llm.script = ("Hold ", asyncio.Event())
        asked = asyncio.create_task(visitor.ask(QUESTION))
        async for event in visitor.watching():
            if event.HasField("delta"):
                break
        await as_person(visitor, "TakeOver")
        turn = await asked
        assert turn[-1].finished.message.status == pb.MESSAGE_STATUS_CANCELED
        conversation = (await visitor.read()).conversation
        assert conversation.status == TAKEN_OVER

    async def test_is_idempotent(self, running, visitor):
        first = await as_person(visitor, "TakeOver")
        assert await as_person(visitor, "TakeOver") == first
        assert (first.taken_over_by, first.HasField("status_time")) == ("user-7", True)
        assert len(await running.events(events_pb2.ConversationStatusChanged)) == 1


class TestReply:
    async def test_posts_a_persons_message(self, running, visitor, neighbours):
        await as_person(visitor, "TakeOver")
        message = await reply(visitor, "Hello, Bob here.")
        assert (message.role, message.author) == (pb.MESSAGE_ROLE_PERSON, "user-7")
        assert message.status == pb.MESSAGE_STATUS_COMPLETED
        heard = []
        async for event in visitor.watching():
            heard.append(event)
            if event.HasField("posted"):
                break
        assert heard[-1].posted.message == message
        stored = await running.events(events_pb2.MessageStored)
        assert [event["role"] for event in stored] == ["MESSAGE_ROLE_PERSON"]

    async def test_needs_somebody_who_has_taken_over(self, running, visitor):
        with pytest.raises(FailedPrecondition) as caught:
            await reply(visitor, "Hello.")
        assert caught.value.reason == "NOT_TAKEN_OVER"
        assert await running.rows("select * from message") == []

    async def test_is_idempotent_by_request_id(self, running, visitor):
        await as_person(visitor, "TakeOver")
        first = await reply(visitor, "Hello.", "r1")
        assert await reply(visitor, "Hello.", "r1") == first
        with pytest.raises(AlreadyExists):
            await reply(visitor, "Else.", "r1")
        await as_person(visitor, "HandBack")
        assert await reply(visitor, "Hello.", "r1") == first
        assert len(await running.rows("select 1 from message")) == 1

    @pytest.mark.parametrize("text", ["", " ", "x" * 16_001, "a\0"])
    async def test_refuses_bad_texts(self, visitor, text):
        await as_person(visitor, "TakeOver")
        with pytest.raises(InvalidArgument) as caught:
            await reply(visitor, text)
        assert caught.value.field == "text"

    async def test_is_part_of_what_the_agent_knows_later(self, visitor, neighbours):
        await as_person(visitor, "TakeOver")
        await visitor.ask("My light is red.")
        await reply(visitor, "Try the other socket.")
        await as_person(visitor, "HandBack")
        await visitor.ask(QUESTION)
        history = neighbours.llm.requests[-1].history
        assert [(turn.from_visitor, turn.text) for turn in history] == [
            (True, "My light is red."),
            (False, "Try the other socket."),
        ]


class TestHandBack:
    async def test_lets_the_agent_answer_again(self, visitor):
        await as_person(visitor, "TakeOver")
        back = await as_person(visitor, "HandBack")
        assert (back.status, back.handoff_reason) == (OPEN, pb.HANDOFF_REASON_UNSPECIFIED)
        assert back.taken_over_by == ""
        assert kinds(await visitor.ask(QUESTION))[-1] == "finished"
        assert await as_person(visitor, "HandBack") == (await visitor.read()).conversation

    async def test_ends_the_wait_for_a_person(self, visitor, neighbours):
        neighbours.retrieval.relevance = 0.0
        await visitor.ask("What is the capital of France?")
        assert (await as_person(visitor, "HandBack")).status == OPEN

    async def test_leaves_what_is_resolved(self, visitor):
        await as_person(visitor, "ResolveConversation")
        assert (await as_person(visitor, "HandBack")).status == RESOLVED


class TestResolveConversation:
    async def test_ends_it_once(self, running, visitor):
        first = await as_person(visitor, "ResolveConversation")
        assert first.status == RESOLVED
        assert await as_person(visitor, "ResolveConversation") == first
        assert len(await running.events(events_pb2.ConversationStatusChanged)) == 1

    async def test_asking_for_a_person_opens_it_again(self, visitor):
        await as_person(visitor, "ResolveConversation")
        assert (await as_person(visitor, "RequestHandoff")).status == WAITING

    async def test_lets_a_running_answer_end(self, visitor, neighbours):
        gate = asyncio.Event()
        neighbours.llm.script = ("Hold ", gate, "it.", completed())
        asked = asyncio.create_task(visitor.ask(QUESTION))
        async for event in visitor.watching():
            if event.HasField("delta"):
                break
        await as_person(visitor, "ResolveConversation")
        gate.set()
        assert said(await asked).startswith("Hold it.")


class TestManyWriters:
    async def test_positions_have_no_gaps_when_all_write_at_once(self, running, visitor):
        await as_person(visitor, "TakeOver")
        await asyncio.gather(
            *(reply(visitor, f"Reply {number}") for number in range(12)),
            *(visitor.ask(f"Question {number}") for number in range(12)),
            *(as_person(visitor, "RequestHandoff") for _ in range(4)),
        )
        rows = await running.rows("select position from turn_events order by position")
        assert [row["position"] for row in rows] == list(range(1, 26))
        numbers = await running.rows("select number from message order by number")
        assert [row["number"] for row in numbers] == list(range(1, 25))
        revisions = await running.rows("select revision from outbox order by id")
        listed = [row["revision"] for row in revisions]
        # The agent's own event stands before those of the conversation.
        assert listed[1:] == sorted(listed[1:])
