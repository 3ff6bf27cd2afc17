"""Trying a draft: what the agent's page reads and asks for it."""

from contextlib import aclosing
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_service_pb2 as pb
from fleetkit.errors import NotFound

from gateway import turns
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.pages.reading import uuid_of
from gateway.views.trials import Trial, trial_of


async def read_trial(request: GatewayRequest, agent_id: str, trial_id: str) -> Trial:
    """A trial of the agent; one that has not begun where there is none of this id (any more)."""
    if not trial_id:
        return Trial(agent_id)
    wanted = pb.GetConversationRequest(
        conversation_id=str(uuid_of(trial_id, "trial")), with_receipts=True
    )
    try:
        found = await call(parts_of(request).clients.conversations.GetConversation, wanted)
    except NotFound:
        return Trial(agent_id)
    if not found.conversation.trial or found.conversation.agent_id != agent_id:
        return Trial(agent_id)
    return trial_of(agent_id, trial_id, found.messages)


async def ask(
    request: GatewayRequest, trial: Trial, text: str, key: UUID, *, to_the_end: bool
) -> Trial:
    """The trial, begun where it was not, with a question that is answered, or about to be."""
    parts = parts_of(request)
    trial_id = trial.trial_id
    if not trial_id:
        made = await call(
            parts.clients.conversations.CreateTrial,
            pb.CreateTrialRequest(request_id=str(key), agent_id=trial.agent_id),
        )
        trial_id = made.conversation.conversation_id
    async with aclosing(turns.answer(parts, UUID(trial_id), key, text)) as events:
        async for event in events:
            if event.HasField("started") and not to_the_end:
                break
    return await read_trial(request, trial.agent_id, trial_id)
