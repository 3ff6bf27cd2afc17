"""Conversations: who gets to them, beginning, reading, listing and rating them."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from conversation import conversations as capability
from fleetdesk.conversation.v1 import agent_pb2, events_pb2
from fleetdesk.conversation.v1 import agent_service_pb2 as agent_pb
from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1 import conversation_service_pb2 as service
from fleetkit.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from harness.access import assert_refuses_strangers

SERVICE = "fleetdesk.conversation.v1.ConversationService"


def of_visitors(conversation_id: str) -> dict:
    """The RPCs that a visitor may call, each with a request that is fine."""
    named: dict[str, Any] = {"conversation_id": conversation_id}
    return {
        "GetConversation": service.GetConversationRequest(**named),
        "AnswerTurn": service.AnswerTurnRequest(text="Where?", **named),
        "WatchConversation": service.WatchConversationRequest(**named),
        "CancelTurn": service.CancelTurnRequest(**named),
        "RequestHandoff": service.RequestHandoffRequest(**named),
        "RateMessage": service.RateMessageRequest(message_id=str(uuid4()), rating=1, **named),
    }


def of_persons(conversation_id: str) -> dict:
    """The RPCs that only persons of the tenant may call."""
    named = {"conversation_id": conversation_id}
    return {
        "CreateConversation": service.CreateConversationRequest(agent_id=str(uuid4())),
        "ListConversations": service.ListConversationsRequest(),
        "TakeOver": service.TakeOverRequest(**named),
        "Reply": service.ReplyRequest(text="Here.", **named),
        "HandBack": service.HandBackRequest(**named),
        "ResolveConversation": service.ResolveConversationRequest(**named),
    }


async def call(stub, rpc: str, request) -> None:
    """Calls an RPC, and reads what it streams up to the first response."""
    response = getattr(stub, rpc)(request, timeout=10)
    if rpc in ("AnswerTurn", "WatchConversation"):
        async for _ in response:
            return
    else:
        await response


class TestStrangers:
    async def test_are_refused(self, running):
        unknown = str(uuid4())
        calls = of_visitors(unknown) | of_persons(unknown)
        calls["GetVisitor"] = service.GetVisitorRequest(visitor_id=unknown)
        calls["CreateTrial"] = service.CreateTrialRequest(agent_id=unknown)
        for rpc, request in calls.items():
            await assert_refuses_strangers(running, f"{SERVICE}.{rpc}", request)

    async def test_of_another_tenant_find_nothing(
        self, running, conversations, visitor, as_identity, other_tenant_id
    ):
        calls = of_visitors(visitor.conversation_id) | of_persons(visitor.conversation_id)
        del calls["ListConversations"]
        calls["CreateConversation"] = service.CreateConversationRequest(agent_id=visitor.agent_id)
        calls["CreateTrial"] = service.CreateTrialRequest(agent_id=visitor.agent_id)
        with as_identity(other_tenant_id, role="owner"):
            for rpc, request in calls.items():
                with pytest.raises(NotFound):
                    await call(conversations, rpc, request)
            listed = await conversations.ListConversations(service.ListConversationsRequest())
        assert not listed.conversations
        [row] = await running.rows("select status, message_count from conversation")
        assert row == {"status": "open", "message_count": 0}

    async def test_visitors_reach_only_their_own_conversation(
        self, running, conversations, visitor, arrive
    ):
        other = await arrive(running)
        with other.itself():
            for rpc, request in of_visitors(visitor.conversation_id).items():
                with pytest.raises(NotFound):
                    await call(conversations, rpc, request)
            for rpc, request in of_persons(other.conversation_id).items():
                with pytest.raises(PermissionDenied):
                    await call(conversations, rpc, request)
        assert await running.rows("select * from message") == []

    async def test_malformed_ids_name_their_field(self, conversations, visitor):
        with visitor.person("admin"):
            calls = of_visitors("../etc/passwd") | of_persons("../etc/passwd")
            del calls["ListConversations"], calls["CreateConversation"]
            for rpc, request in calls.items():
                with pytest.raises(InvalidArgument) as caught:
                    await call(conversations, rpc, request)
                assert caught.value.field == "conversation_id"


class TestCreateConversation:
    async def _create(self, stub, agent_id: str, **fields) -> pb.Conversation:
        request = service.CreateConversationRequest(agent_id=agent_id, **fields)
        return (await stub.CreateConversation(request)).conversation

    async def test_begins_on_the_published_version_and_stays_on_it(
        self, running, agents, conversations, visitor
    ):
        with visitor.person("admin"):
            await agents.PublishAgent(agent_pb.PublishAgentRequest(agent_id=visitor.agent_id))
            later = await self._create(conversations, visitor.agent_id)
            first = (await visitor.read()).conversation
        assert (first.agent_version, later.agent_version) == (1, 2)
        assert first.status == pb.CONVERSATION_STATUS_OPEN
        [event, _] = await running.events(events_pb2.ConversationStarted)
        assert event["conversationId"] == first.conversation_id
        assert event["visitorId"] == first.visitor_id

    async def test_knows_a_visitor_of_the_agent_again_by_the_tenants_id(
        self, conversations, visitor, arrive, running, as_background, tenant_id
    ):
        other_agent = await arrive(running)
        with as_background(tenant_id):
            made = [
                await self._create(conversations, agent_id, visitor_external_id=external_id)
                for agent_id, external_id in (
                    (visitor.agent_id, "customer-1"),
                    (visitor.agent_id, "customer-1"),
                    (visitor.agent_id, "customer-2"),
                    (other_agent.agent_id, "customer-1"),
                    (visitor.agent_id, ""),
                    (visitor.agent_id, ""),
                )
            ]
        ids = [each.visitor_id for each in made]
        assert ids[0] == ids[1]
        assert len(set(ids)) == 5

    async def test_makes_one_visitor_when_two_tabs_open_at_once(
        self, conversations, visitor, running, as_background, tenant_id
    ):
        with as_background(tenant_id):
            made = await asyncio.gather(
                *(
                    self._create(conversations, visitor.agent_id, visitor_external_id="c")
                    for _ in range(8)
                )
            )
        assert len({each.visitor_id for each in made}) == 1
        assert len({each.conversation_id for each in made}) == 8

    async def test_is_idempotent_by_request_id(
        self, conversations, visitor, running, as_background, tenant_id
    ):
        with as_background(tenant_id):
            made = await asyncio.gather(
                *(self._create(conversations, visitor.agent_id, request_id="r1") for _ in range(4))
            )
            with pytest.raises(AlreadyExists):
                await self._create(
                    conversations, visitor.agent_id, request_id="r1", visitor_external_id="x"
                )
        assert len({each.conversation_id for each in made}) == 1
        # The visitor's own and this one.
        assert len(await running.rows("select 1 from conversation")) == 2

    async def test_needs_a_published_agent(self, agents, conversations, as_identity, tenant_id):
        with as_identity(tenant_id, role="admin"):
            config = agent_pb2.AgentConfig(name="Ada", preset=agent_pb2.PRESET_CUSTOM)
            draft = (await agents.CreateAgent(agent_pb.CreateAgentRequest(config=config))).agent
            with pytest.raises(FailedPrecondition) as caught:
                await self._create(conversations, draft.agent_id)
        assert caught.value.reason == "AGENT_NOT_PUBLISHED"

    async def test_names_what_is_wrong(self, conversations, visitor, as_background, tenant_id):
        with as_background(tenant_id):
            for fields, field in (
                ({"agent_id": "x"}, "agent_id"),
                ({"visitor_external_id": "x" * 257}, "visitor_external_id"),
                ({"visitor_external_id": "a\0b"}, "visitor_external_id"),
                ({"request_id": "x" * 201}, "request_id"),
            ):
                with pytest.raises(InvalidArgument) as caught:
                    await self._create(conversations, **{"agent_id": visitor.agent_id, **fields})
                assert caught.value.field == field


class TestGetConversation:
    async def test_carries_messages_and_receipts(self, visitor):
        events = await visitor.ask("How do I reset the router?")
        found = await visitor.read(with_receipts=True)
        question, answer = found.messages
        assert (question.role, question.text) == (
            pb.MESSAGE_ROLE_VISITOR,
            "How do I reset the router?",
        )
        assert answer == events[-1].finished.message
        assert answer.receipt.total_nanos == 4_050
        assert not question.HasField("receipt")
        assert found.conversation.title == "How do I reset the router?"
        assert found.conversation.message_count == 2
        assert found.conversation.last_outcome == pb.OUTCOME_ANSWERED
        assert found.position == events[-1].position

    async def test_leaves_receipts_out_unless_asked(self, visitor, neighbours):
        await visitor.ask("How do I reset the router?")
        neighbours.llm.usage_error = Unavailable("away")
        assert not (await visitor.read()).messages[1].HasField("receipt")
        with pytest.raises(Unavailable):
            await visitor.read(with_receipts=True)

    async def test_may_be_read_by_any_role(self, visitor, conversations):
        with visitor.person("viewer"):
            found = await conversations.GetConversation(
                service.GetConversationRequest(conversation_id=visitor.conversation_id)
            )
        assert found.conversation.visitor_id == visitor.visitor_id


class TestGetVisitor:
    async def test_tells_its_conversations_oldest_first(
        self, conversations, visitor, as_background, tenant_id
    ):
        named = service.CreateConversationRequest(
            agent_id=visitor.agent_id, visitor_external_id="customer-1"
        )
        with as_background(tenant_id):
            made = [(await conversations.CreateConversation(named)).conversation for _ in range(3)]
        with visitor.person("admin"):
            found = await conversations.GetVisitor(
                service.GetVisitorRequest(visitor_id=made[0].visitor_id)
            )
        assert list(found.conversation_ids) == [each.conversation_id for each in made]

    async def test_finds_no_visitor_that_is_not_there(
        self, conversations, visitor, as_identity, other_tenant_id
    ):
        known = service.GetVisitorRequest(visitor_id=visitor.visitor_id)
        with as_identity(other_tenant_id, role="owner"), pytest.raises(NotFound):
            await conversations.GetVisitor(known)
        for wrong in ("", "../etc/passwd"):
            with visitor.person("admin"), pytest.raises(InvalidArgument) as caught:
                await conversations.GetVisitor(service.GetVisitorRequest(visitor_id=wrong))
            assert caught.value.field == "visitor_id"

    async def test_refuses_more_than_an_event_carries(self, running, conversations, visitor):
        async with running.db.tenant(visitor.tenant_id) as conn:
            await conn.execute(
                "insert into conversation (tenant_id, conversation_id, agent_id, agent_version,"
                "  visitor_id, create_time, update_time)"
                " select tenant_id, gen_random_uuid(), agent_id, 1, visitor_id, now(), now()"
                " from conversation, generate_series(1, 10000)"
            )
        with visitor.person("admin"), pytest.raises(FailedPrecondition) as caught:
            await conversations.GetVisitor(service.GetVisitorRequest(visitor_id=visitor.visitor_id))
        assert caught.value.reason == "TOO_MANY_CONVERSATIONS"


class TestListConversations:
    async def _page(self, stub, **fields) -> service.ListConversationsResponse:
        return await stub.ListConversations(service.ListConversationsRequest(**fields))

    async def test_pages_through_all_without_gaps(
        self, conversations, visitor, as_background, as_identity, tenant_id
    ):
        with as_background(tenant_id):
            for _ in range(6):
                request = service.CreateConversationRequest(agent_id=visitor.agent_id)
                await conversations.CreateConversation(request)
        with as_identity(tenant_id):
            whole = list((await self._page(conversations)).conversations)
            paged, token = [], ""
            for _ in range(4):
                page = await self._page(conversations, page_size=2, page_token=token)
                paged += page.conversations
                token = page.next_page_token
        assert paged == whole
        assert len(whole) == 7
        assert token == ""
        times = [each.update_time.ToNanoseconds() for each in whole]
        assert times == sorted(times, reverse=True)

    async def test_filters(self, running, conversations, visitor, arrive, neighbours):
        other = await arrive(running)
        await visitor.ask("How do I reset the router?")
        neighbours.retrieval.relevance = 0.1
        await other.ask("What is the capital of France?")
        with visitor.person("viewer"):

            async def found(**fields) -> list[str]:
                page = await self._page(conversations, **fields)
                return [each.conversation_id for each in page.conversations]

            assert await found(outcome=pb.OUTCOME_ANSWERED) == [visitor.conversation_id]
            assert await found(outcome=pb.OUTCOME_HANDOFF) == [other.conversation_id]
            waiting = pb.CONVERSATION_STATUS_WAITING
            assert await found(status=waiting) == [other.conversation_id]
            assert await found(agent_id=visitor.agent_id) == [visitor.conversation_id]
            assert await found(agent_id=str(uuid4())) == []
            assert await found() == [other.conversation_id, visitor.conversation_id]
            assert await found(filter="ROUTER") == [visitor.conversation_id]
            assert await found(filter="rout%", outcome=pb.OUTCOME_ANSWERED) == []
            now = (await visitor.read()).conversation.update_time
            assert await found(start_time=now) == [
                other.conversation_id,
                visitor.conversation_id,
            ]
            assert await found(end_time=now) == []

    async def test_looks_for_a_text_in_titles_and_the_tenants_own_ids_some_at_a_time(
        self, conversations, visitor, as_background, tenant_id, monkeypatch
    ):
        monkeypatch.setattr(capability, "MOST_LOOKED_AT", 2)
        with as_background(tenant_id):
            for external_id in ("maria@example.com", "", ""):
                request = service.CreateConversationRequest(
                    agent_id=visitor.agent_id, visitor_external_id=external_id
                )
                await conversations.CreateConversation(request)
        with visitor.person("viewer"):
            first = await self._page(conversations, filter="Maria")
            assert (list(first.conversations), first.next_page_token != "") == ([], True)
            token = first.next_page_token
            second = await self._page(conversations, filter="Maria", page_token=token)
            assert second.next_page_token == ""
        assert [each.visitor_external_id for each in second.conversations] == ["maria@example.com"]

    async def test_refuses_what_it_did_not_give(
        self, conversations, visitor, as_identity, as_background, tenant_id, other_tenant_id
    ):
        with as_background(tenant_id):
            request = service.CreateConversationRequest(agent_id=visitor.agent_id)
            await conversations.CreateConversation(request)
        with as_identity(tenant_id):
            token = (await self._page(conversations, page_size=1)).next_page_token
            for fields, field in (
                ({"page_token": token[:-4] + "AAAA"}, "page_token"),
                ({"page_token": token, "outcome": pb.OUTCOME_CLARIFY}, "page_token"),
                ({"page_size": 201}, "page_size"),
                ({"page_size": -1}, "page_size"),
                ({"status": 77}, "status"),
                ({"page_token": token, "filter": "x"}, "page_token"),
                ({"filter": "x" * 201}, "filter"),
                ({"filter": "a\0"}, "filter"),
                ({"filter": "a\x1f"}, "filter"),
                ({"agent_id": "x"}, "agent_id"),
            ):
                with pytest.raises(InvalidArgument) as caught:
                    await self._page(conversations, **fields)
                assert caught.value.field == field
        with as_identity(other_tenant_id), pytest.raises(InvalidArgument):
            await self._page(conversations, page_token=token)


class TestRateMessage:
    async def _rate(self, visitor, message_id: str, rating: int) -> pb.Message:
        request = service.RateMessageRequest(
            conversation_id=visitor.conversation_id, message_id=message_id, rating=rating
        )
        with visitor.itself():
            return (await visitor.stub.RateMessage(request)).message

    async def test_keeps_the_last_rating(self, visitor):
        message_id = (await visitor.ask("How do I reset the router?"))[-1].message_id
        assert (await self._rate(visitor, message_id, 1)).rating == 1
        assert (await self._rate(visitor, message_id, -1)).rating == -1
        assert (await visitor.answer()).rating == -1
        await self._rate(visitor, message_id, 0)
        assert (await visitor.answer()).rating == 0

    async def test_is_for_answers_of_this_conversation(self, running, visitor, arrive):
        await visitor.ask("How do I reset the router?")
        question, answer = (await visitor.read()).messages
        other = await arrive(running)
        with pytest.raises(NotFound):
            await self._rate(other, answer.message_id, 1)
        with pytest.raises(NotFound):
            await self._rate(visitor, str(UUID(int=1)), 1)
        for message_id, rating, field in (
            (question.message_id, 1, "message_id"),
            (answer.message_id, 5, "rating"),
            ("x", 1, "message_id"),
        ):
            with pytest.raises(InvalidArgument) as caught:
                await self._rate(visitor, message_id, rating)
            assert caught.value.field == field
