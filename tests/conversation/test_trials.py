"""Trials: a draft is talked with, and nobody else hears of it."""

from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from fleetdesk.conversation.v1 import agent_pb2, events_pb2
from fleetdesk.conversation.v1 import agent_service_pb2 as agent_pb
from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1 import conversation_service_pb2 as service
from fleetkit.errors import AlreadyExists, FailedPrecondition, NotFound
from harness.conversing import Visitor, config, kinds, said
from harness.waiting import eventually

QUESTION = "How do I reset the router?"
TOLD = (
    events_pb2.ConversationStarted,
    events_pb2.MessageStored,
    events_pb2.MessageCompleted,
    events_pb2.HandoffRequested,
    events_pb2.ConversationStatusChanged,
)


async def begin(visitor: Visitor, agent_id: str, request_id: str = "t1") -> pb.Conversation:
    request = service.CreateTrialRequest(request_id=request_id, agent_id=agent_id)
    with visitor.person("admin"):
        return (await visitor.stub.CreateTrial(request)).conversation


async def change(visitor: Visitor, agents: Any, agent_id: str, **settings: Any) -> None:
    with visitor.person("admin"):
        request = agent_pb.UpdateDraftRequest(agent_id=agent_id, config=config(**settings))
        await agents.UpdateDraft(request)


@pytest_asyncio.fixture
async def trial(visitor, agents) -> Visitor:
    """Somebody who talks with the draft of an agent that is not published."""
    with visitor.person("admin"):
        made = await agents.CreateAgent(agent_pb.CreateAgentRequest(config=config(name="Kim")))
    begun = await begin(visitor, made.agent.agent_id)
    return replace(
        visitor,
        agent_id=begun.agent_id,
        conversation_id=begun.conversation_id,
        visitor_id=begun.visitor_id,
    )


class TestCreateTrial:
    async def test_is_once_by_its_request_and_of_the_tenants_own_agent(self, visitor, trial):
        again = await begin(visitor, trial.agent_id)
        assert (again.conversation_id, again.trial) == (trial.conversation_id, True)
        assert again.agent_version == 0
        with pytest.raises(AlreadyExists):
            await begin(visitor, visitor.agent_id)
        with pytest.raises(NotFound) as caught:
            await begin(visitor, trial.conversation_id, "t2")
        assert caught.value.field == "agent_id"


class TestTrial:
    async def test_is_answered_as_the_draft_says_at_each_question(self, trial, agents, neighbours):
        turn = await trial.ask(QUESTION)
        message = turn[-1].finished.message
        assert message.outcome == pb.OUTCOME_ANSWERED
        assert message.citations
        assert message.receipt.total_nanos > 0
        assert "You are Kim" in neighbours.llm.requests[-1].instructions
        changed = {"name": "Lee", "preset": agent_pb2.PRESET_CUSTOM, "model": "fake/writer"}
        await change(trial, agents, trial.agent_id, **changed)
        await trial.ask("And the lamp, how long does it take?")
        asked = neighbours.llm.requests[-1]
        assert "You are Lee" in asked.instructions
        assert asked.model == "fake/writer"
        assert [each.text for each in asked.history] == [QUESTION, said(turn)]

    async def test_counts_nowhere_but_on_the_ledger(
        self, running, trial, agents, neighbours, as_identity, tenant_id
    ):
        before = {each: await running.events(each) for each in TOLD}
        await trial.ask(QUESTION)
        neighbours.retrieval.relevance = 0.1
        turn = await trial.ask("Who won the cup?")
        assert "handoff" in kinds(turn)
        assert turn[-1].finished.message.outcome == pb.OUTCOME_HANDOFF
        found = (await trial.read()).conversation
        assert (found.status, found.trial) == (pb.CONVERSATION_STATUS_OPEN, True)
        assert {each: await running.events(each) for each in TOLD} == before
        assert await running.rows("select 1 from job") == []
        assert neighbours.memory.recorded == []
        assert [each.message_id for each in neighbours.billing.asked] == ["", ""]
        spent_for = [*neighbours.retrieval.calls, *neighbours.llm.calls]
        assert {each.attribution.purpose for each in spent_for} == {"trial"}
        assert {each.attribution.visitor_id for each in spent_for} == {None}
        assert {each.attribution.agent_id for each in spent_for} == {UUID(trial.agent_id)}
        await change(trial, agents, trial.agent_id)
        with as_identity(tenant_id, role="admin"):
            listed = await trial.stub.ListConversations(service.ListConversationsRequest())
            await agents.PublishAgent(agent_pb.PublishAgentRequest(agent_id=trial.agent_id))
            past = await agents.TryThresholds(
                agent_pb.TryThresholdsRequest(agent_id=trial.agent_id, answer_threshold_millis=1)
            )
        assert trial.conversation_id not in {each.conversation_id for each in listed.conversations}
        assert len(listed.conversations) == 1
        assert past.now == agent_pb.DecisionCounts()

    async def test_has_nobody_to_take_over_from_and_is_deleted_after_a_week(self, running, trial):
        await trial.ask(QUESTION)
        named: Any = {"conversation_id": trial.conversation_id}
        with trial.person("admin"):
            asked = await trial.stub.RequestHandoff(service.RequestHandoffRequest(**named))
            assert asked.conversation.status == pb.CONVERSATION_STATUS_OPEN
            for rpc in ("TakeOver", "ResolveConversation"):
                with pytest.raises(FailedPrecondition) as caught:
                    await getattr(trial.stub, rpc)(getattr(service, f"{rpc}Request")(**named))
                assert caught.value.reason == "TRIAL"
        await running.rt.commands["prune"]()
        assert len((await trial.read()).messages) == 2
        running.advance(seconds=8 * 24 * 3600)

        async def is_gone() -> bool:
            # The schedule may have been quicker, and be at it still: the clock moved for it too.
            with suppress(FailedPrecondition):
                await running.rt.commands["prune"]()
            return not await running.rows("select 1 from conversation where agent_version is null")

        await eventually(is_gone)
        said_there = "select text from message union all select event::text from turn_events"
        assert await running.rows(said_there) == []
        # The visitor whose conversation it is not stays.
        assert len(await running.rows("select 1 from visitor")) == 1
