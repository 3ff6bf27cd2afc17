"""AgentService and ConversationService: translate, call, translate."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from fleetdesk.conversation.v1 import agent_service_pb2 as agent_pb
from fleetdesk.conversation.v1 import conversation_pb2
from fleetdesk.conversation.v1 import conversation_service_pb2 as pb
from fleetdesk.conversation.v1.agent_service_pb2_grpc import AgentServiceServicer
from fleetdesk.conversation.v1.conversation_service_pb2_grpc import ConversationServiceServicer
from fleetkit.context import current, identity, tenant_id
from fleetkit.errors import NotFound
from fleetkit.ids import new_id
from fleetkit.rpc.fields import timestamp, to_optional_time, to_optional_uuid, to_time, to_uuid
from grpc.aio import ServicerContext

from conversation import (
    agents,
    conversations,
    handoffs,
    listening,
    observations,
    thresholds,
    trials,
    turns,
    visitors,
    wire,
)
from conversation.deps import Deps
from conversation.runner import TurnRunner
from conversation.store import agents as agent_store
from conversation.store.conversations import ConversationFilter
from conversation.store.observations import Observation
from conversation.texts import check_text
from conversation.turns import Joined, Question


class AgentApi(AgentServiceServicer):
    """The RPCs of agents."""

    def __init__(self, deps: Deps) -> None:
        self._db = deps.db
        self._settings = deps.settings
        self._llm_gateway = deps.neighbours.llm_gateway

    async def CreateAgent(
        self, request: agent_pb.CreateAgentRequest, context: ServicerContext
    ) -> agent_pb.CreateAgentResponse:
        config = wire.config_of(request.config)
        agent_id = to_uuid(request.agent_id, "agent_id") if request.agent_id else new_id()
        await agents.check_models(self._llm_gateway, config)
        row = await agents.create_requested(
            self._db, tenant_id(), agent_id, request, config, identity().subject
        )
        return agent_pb.CreateAgentResponse(agent=wire.agent_message(row))

    async def GetAgent(
        self, request: agent_pb.GetAgentRequest, context: ServicerContext
    ) -> agent_pb.GetAgentResponse:
        agent_id = to_uuid(request.agent_id, "agent_id")
        async with self._db.tenant(tenant_id()) as conn:
            row = await agents.existing(conn, tenant_id(), agent_id)
        return agent_pb.GetAgentResponse(agent=wire.agent_message(row))

    async def GetPublicAgent(
        self, request: agent_pb.GetPublicAgentRequest, context: ServicerContext
    ) -> agent_pb.GetPublicAgentResponse:
        agent_id = to_uuid(request.agent_id, "agent_id")
        config = await agents.published_config(self._db, tenant_id(), agent_id)
        return agent_pb.GetPublicAgentResponse(
            name=config.name,
            greeting=config.greeting,
            suggested_questions=config.suggested_questions,
            screen_sharing=config.screen_sharing,
        )

    async def ListAgents(
        self, request: agent_pb.ListAgentsRequest, context: ServicerContext
    ) -> agent_pb.ListAgentsResponse:
        async with self._db.tenant(tenant_id()) as conn:
            rows = await agent_store.list_agents(conn, tenant_id())
        return agent_pb.ListAgentsResponse(
            agents=[wire.agent_message(row) for row in rows],
            default_answer_threshold_millis=self._settings.answer_threshold_millis,
            default_handoff_threshold_millis=self._settings.handoff_threshold_millis,
            presets=wire.preset_messages(),
        )

    async def UpdateDraft(
        self, request: agent_pb.UpdateDraftRequest, context: ServicerContext
    ) -> agent_pb.UpdateDraftResponse:
        agent_id = to_uuid(request.agent_id, "agent_id")
        config = wire.config_of(request.config)
        await agents.check_models(self._llm_gateway, config)
        row = await agents.update_draft(self._db, tenant_id(), agent_id, request, config)
        return agent_pb.UpdateDraftResponse(agent=wire.agent_message(row))

    async def PublishAgent(
        self, request: agent_pb.PublishAgentRequest, context: ServicerContext
    ) -> agent_pb.PublishAgentResponse:
        agent_id = to_uuid(request.agent_id, "agent_id")
        row = await agents.publish_agent(
            self._db, tenant_id(), agent_id, request, identity().subject
        )
        return agent_pb.PublishAgentResponse(agent=wire.agent_message(row))

    async def RollbackAgent(
        self, request: agent_pb.RollbackAgentRequest, context: ServicerContext
    ) -> agent_pb.RollbackAgentResponse:
        agent_id = to_uuid(request.agent_id, "agent_id")
        row = await agents.rollback_agent(
            self._db, tenant_id(), agent_id, request, identity().subject
        )
        return agent_pb.RollbackAgentResponse(agent=wire.agent_message(row))

    async def ListAgentVersions(
        self, request: agent_pb.ListAgentVersionsRequest, context: ServicerContext
    ) -> agent_pb.ListAgentVersionsResponse:
        agent_id = to_uuid(request.agent_id, "agent_id")
        rows = await agents.list_versions(self._db, tenant_id(), agent_id)
        return agent_pb.ListAgentVersionsResponse(
            versions=[wire.version_message(row) for row in rows]
        )

    async def TryThresholds(
        self, request: agent_pb.TryThresholdsRequest, context: ServicerContext
    ) -> agent_pb.TryThresholdsResponse:
        trial = await thresholds.try_thresholds(
            self._db,
            self._settings,
            tenant_id(),
            to_uuid(request.agent_id, "agent_id"),
            answer_millis=request.answer_threshold_millis,
            handoff_millis=request.handoff_threshold_millis,
            latest=request.latest,
        )
        return wire.trial_message(trial)


class ConversationApi(ConversationServiceServicer):
    """The RPCs of conversations."""

    def __init__(self, deps: Deps, runner: TurnRunner) -> None:
        self._deps = deps
        self._runner = runner

    async def CreateConversation(
        self, request: pb.CreateConversationRequest, context: ServicerContext
    ) -> pb.CreateConversationResponse:
        agent_id = to_uuid(request.agent_id, "agent_id")
        row = await conversations.create(self._deps, tenant_id(), agent_id, request)
        return pb.CreateConversationResponse(conversation=wire.conversation_message(row))

    async def CreateTrial(
        self, request: pb.CreateTrialRequest, context: ServicerContext
    ) -> pb.CreateTrialResponse:
        agent_id = to_uuid(request.agent_id, "agent_id")
        row = await trials.create(self._deps, tenant_id(), agent_id, request)
        return pb.CreateTrialResponse(conversation=wire.conversation_message(row))

    async def GetConversation(
        self, request: pb.GetConversationRequest, context: ServicerContext
    ) -> pb.GetConversationResponse:
        found = await conversations.read(
            self._deps,
            tenant_id(),
            _reachable(request.conversation_id),
            with_receipts=request.with_receipts,
        )
        response = pb.GetConversationResponse(
            conversation=wire.conversation_message(found.conversation), position=found.position
        )
        for row in found.messages:
            message = response.messages.add()
            message.CopyFrom(wire.message_message(row))
            if (receipt := found.receipts.get(message.message_id)) is not None:
                message.receipt.CopyFrom(receipt)
        return response

    async def ListConversations(
        self, request: pb.ListConversationsRequest, context: ServicerContext
    ) -> pb.ListConversationsResponse:
        agent_id = to_optional_uuid(request.agent_id, "agent_id")
        wanted = ConversationFilter(
            status=wire.status_name(request.status, "status"),
            outcome=wire.outcome_name(request.outcome, "outcome"),
            agent_id=agent_id,
            visitor_id=to_optional_uuid(request.visitor_id, "visitor_id"),
            filter=request.filter,
            start_time=to_optional_time(request, "start_time"),
            end_time=to_optional_time(request, "end_time"),
        )
        found = await conversations.list_page(
            self._deps, tenant_id(), wanted, request.page_size, request.page_token
        )
        return pb.ListConversationsResponse(
            conversations=[
                wire.conversation_message(row, found.external_ids.get(row.visitor_id, ""))
                for row in found.rows
            ],
            next_page_token=found.next_page_token,
        )

    async def GetVisitor(
        self, request: pb.GetVisitorRequest, context: ServicerContext
    ) -> pb.GetVisitorResponse:
        visitor_id = to_uuid(request.visitor_id, "visitor_id")
        found = await visitors.read(self._deps.db, tenant_id(), visitor_id)
        return pb.GetVisitorResponse(
            visitor_id=str(visitor_id),
            create_time=timestamp(found.create_time),
            conversation_ids=[str(one) for one in found.conversation_ids],
        )

    async def GetScreenSharing(
        self, request: pb.GetScreenSharingRequest, context: ServicerContext
    ) -> pb.GetScreenSharingResponse:
        found = await observations.sharing_of(
            self._deps.db, tenant_id(), _reachable(request.conversation_id)
        )
        return pb.GetScreenSharingResponse(
            screen_sharing=found.allowed,
            agent_id=str(found.agent_id),
            visitor_id=str(found.visitor_id),
        )

    async def AddObservation(
        self, request: pb.AddObservationRequest, context: ServicerContext
    ) -> pb.AddObservationResponse:
        seen = Observation(
            to_uuid(request.frame_id, "frame_id"), request.text, to_time(request, "capture_time")
        )
        stored = await observations.add_observation(
            self._deps.db, tenant_id(), to_uuid(request.conversation_id, "conversation_id"), seen
        )
        return pb.AddObservationResponse(stored=stored)

    async def AnswerTurn(
        self, request: pb.AnswerTurnRequest, context: ServicerContext
    ) -> AsyncGenerator[pb.AnswerTurnResponse, None]:
        conversation_id = _reachable(request.conversation_id)
        check_text(request.text)
        question = Question(tenant_id(), conversation_id, request.request_id, request.text)
        with self._deps.hub.subscribe(conversation_id) as subscription:
            joined = await self._ask(question)
            if joined.expired is not None:
                yield pb.AnswerTurnResponse(event=_whole(joined))
                return
            events = listening.turn_events(
                self._deps,
                tenant_id(),
                conversation_id,
                joined.message_id,
                joined.after,
                subscription if joined.begun else None,
            )
            async with aclosing(events):
                async for event in events:
                    yield pb.AnswerTurnResponse(event=event)

    async def WatchConversation(
        self, request: pb.WatchConversationRequest, context: ServicerContext
    ) -> AsyncGenerator[pb.WatchConversationResponse, None]:
        conversation_id = _reachable(request.conversation_id)
        after = await listening.begin_of(
            self._deps,
            tenant_id(),
            conversation_id,
            request.after_position,
            request.after_event,
        )
        events = listening.watch(self._deps, tenant_id(), conversation_id, after)
        async with aclosing(events):
            async for event in events:
                yield pb.WatchConversationResponse(event=event)

    async def CancelTurn(
        self, request: pb.CancelTurnRequest, context: ServicerContext
    ) -> pb.CancelTurnResponse:
        stopped = await turns.cancel(
            self._deps, self._runner, tenant_id(), _reachable(request.conversation_id)
        )
        return pb.CancelTurnResponse(message_id=str(stopped) if stopped else "")

    async def RequestHandoff(
        self, request: pb.RequestHandoffRequest, context: ServicerContext
    ) -> pb.RequestHandoffResponse:
        row = await handoffs.request_handoff(
            self._deps, tenant_id(), _reachable(request.conversation_id)
        )
        return pb.RequestHandoffResponse(conversation=wire.conversation_message(row))

    async def TakeOver(
        self, request: pb.TakeOverRequest, context: ServicerContext
    ) -> pb.TakeOverResponse:
        row = await handoffs.take_over(
            self._deps,
            self._runner,
            tenant_id(),
            _reachable(request.conversation_id),
            person=identity().subject,
        )
        return pb.TakeOverResponse(conversation=wire.conversation_message(row))

    async def Reply(self, request: pb.ReplyRequest, context: ServicerContext) -> pb.ReplyResponse:
        conversation_id = _reachable(request.conversation_id)
        check_text(request.text)
        row = await handoffs.reply(
            self._deps,
            tenant_id(),
            conversation_id,
            request_id=request.request_id,
            text=request.text,
            author=identity().subject,
        )
        return pb.ReplyResponse(message=wire.message_message(row))

    async def HandBack(
        self, request: pb.HandBackRequest, context: ServicerContext
    ) -> pb.HandBackResponse:
        row = await handoffs.hand_back(self._deps, tenant_id(), _reachable(request.conversation_id))
        return pb.HandBackResponse(conversation=wire.conversation_message(row))

    async def ResolveConversation(
        self, request: pb.ResolveConversationRequest, context: ServicerContext
    ) -> pb.ResolveConversationResponse:
        row = await handoffs.resolve(self._deps, tenant_id(), _reachable(request.conversation_id))
        return pb.ResolveConversationResponse(conversation=wire.conversation_message(row))

    async def RateMessage(
        self, request: pb.RateMessageRequest, context: ServicerContext
    ) -> pb.RateMessageResponse:
        row = await conversations.rate(
            self._deps,
            tenant_id(),
            _reachable(request.conversation_id),
            to_uuid(request.message_id, "message_id"),
            request.rating,
        )
        return pb.RateMessageResponse(message=wire.message_message(row))

    async def _ask(self, question: Question) -> Joined:
        """Begins the turn even when the listener goes away in the middle of it."""
        asking = asyncio.create_task(turns.ask(self._deps, self._runner, question))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            # Nobody is left to be told of its error.
            asking.add_done_callback(lambda task: task.cancelled() or task.exception())
            raise


def _reachable(conversation_id: str) -> UUID:
    """The conversation's id; NotFound when a visitor names another than their own."""
    found = to_uuid(conversation_id, "conversation_id")
    person = current().identity
    if person is not None and person.kind == "visitor" and person.conversation_id != found:
        raise NotFound("there is no such conversation", field="conversation_id")
    return found


def _whole(joined: Joined) -> conversation_pb2.TurnEvent:
    """The end of a turn whose events are no longer kept."""
    row = joined.expired
    assert row is not None  # noqa: S101 - the caller has looked
    message = wire.message_message(row)
    event = conversation_pb2.TurnEvent(
        message_id=message.message_id, sequence=1, position=joined.after
    )
    if row.role == "visitor":
        event.posted.message.CopyFrom(message)
    elif row.status == "failed":
        event.failed.reason = row.error_reason
        event.failed.message.CopyFrom(message)
    else:
        event.finished.message.CopyFrom(message)
    return event
