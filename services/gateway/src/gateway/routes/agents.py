"""Agents: draft, publish, roll back, versions."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fleetdesk.conversation.v1 import agent_service_pb2 as pb
from fleetdesk.conversation.v1.agent_pb2 import Agent as Message
from fleetdesk.conversation.v1.agent_pb2 import AgentConfig as AgentConfigMessage
from fleetdesk.conversation.v1.agent_pb2 import AgentVersion as VersionMessage
from fleetkit import context
from fleetkit.ids import new_id
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter

from gateway import audit
from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.requests import client_ip_of
from gateway.resolution_price import resolution_nanos
from gateway.routes.reading import request_id
from gateway.shapes.agents import (
    Agent,
    AgentConfig,
    AgentEstimate,
    AgentList,
    AgentVersion,
    AgentVersionList,
    CreateAgentRequest,
    PublicAgent,
    RollbackRequest,
    ThresholdTrial,
    UpdateAgentRequest,
    estimate_request,
)
from gateway.shapes.common import IdempotencyKey

_TAGS = ["Agents"]
_READ = Access(role=Role.VIEWER, scope="agents:read")
_WRITE = Access(role=Role.ADMIN, scope="agents:write")


@endpoint("GET", "/v1/agents", _READ, tags=_TAGS, summary="List agents")
async def get_agents(request: GatewayRequest) -> AgentList:
    """All agents of the tenant, oldest first."""
    return AgentList([Agent.of(agent) for agent in await list_agents(request)])


async def list_agents(request: GatewayRequest) -> Sequence[Message]:
    """All agents of the tenant, oldest first; also for the pages."""
    return (await agents_listed(request)).agents


async def agents_listed(request: GatewayRequest) -> pb.ListAgentsResponse:
    """The same, with what the fleet has for all of them; for the pages."""
    return await call(parts_of(request).clients.agents.ListAgents, pb.ListAgentsRequest())


@endpoint("POST", "/v1/agents", _WRITE, status_code=201, tags=_TAGS, summary="Make an agent")
async def post_agent(
    request: GatewayRequest,
    data: JSONBody[CreateAgentRequest],
    idempotency_key: IdempotencyKey = "",
) -> Agent:
    """An agent with a draft, with `publish` also version 1."""
    async with request_id(request, idempotency_key, data) as key:
        made = await create_agent(request, key, data.config, publish=data.publish)
    return Agent.of(made)


async def create_agent(
    request: GatewayRequest, key: UUID, config: AgentConfig, *, publish: bool
) -> Message:
    """Makes the agent of a request's key, which is its id: once, however often; also for pages."""
    parts = parts_of(request)
    await parts.widgets.register(request.user.tenant_id, key)
    made = await call(
        parts.clients.agents.CreateAgent,
        pb.CreateAgentRequest(
            request_id=str(key), agent_id=str(key), config=config.message(), publish=publish
        ),
    )
    await _record(request, "agent.created", key)
    return made.agent


@endpoint("GET", "/v1/agents/{agent_id:uuid}", _READ, tags=_TAGS, summary="Get an agent")
async def get_agent(request: GatewayRequest, agent_id: FromPath[UUID]) -> Agent:
    """An agent with its draft and what is published."""
    found = await call(
        parts_of(request).clients.agents.GetAgent, pb.GetAgentRequest(agent_id=str(agent_id))
    )
    return Agent.of(found.agent)


@endpoint("PUT", "/v1/agents/{agent_id:uuid}", _WRITE, tags=_TAGS, summary="Change the draft")
async def put_agent(
    request: GatewayRequest, agent_id: FromPath[UUID], data: JSONBody[UpdateAgentRequest]
) -> Agent:
    """Replaces the draft, whole; 412 when it has changed since `revision`."""
    return Agent.of(await change_draft(request, agent_id, data.config.message(), data.revision))


async def change_draft(
    request: GatewayRequest, agent_id: UUID, config: AgentConfigMessage, revision: int
) -> Message:
    """Replaces the draft, whole; also for the pages."""
    changed = await call(
        parts_of(request).clients.agents.UpdateDraft,
        pb.UpdateDraftRequest(
            request_id=str(new_id()), agent_id=str(agent_id), config=config, revision=revision
        ),
    )
    await _record(request, "agent.changed", agent_id)
    return changed.agent


@endpoint(
    "POST",
    "/v1/agents/{agent_id:uuid}/publish",
    Access(role=Role.ADMIN, scope="agents:write", body="none"),
    tags=_TAGS,
    summary="Publish the draft",
)
async def post_publish(
    request: GatewayRequest, agent_id: FromPath[UUID], idempotency_key: IdempotencyKey = ""
) -> Agent:
    """Makes the draft the next version. Conversations keep the version they began with."""
    async with request_id(request, idempotency_key, None) as key:
        return Agent.of(await publish_draft(request, agent_id, key))


async def publish_draft(request: GatewayRequest, agent_id: UUID, key: UUID) -> Message:
    """Makes the draft the next version; also for the pages."""
    published = await call(
        parts_of(request).clients.agents.PublishAgent,
        pb.PublishAgentRequest(request_id=str(key), agent_id=str(agent_id)),
    )
    version = str(published.agent.published_version)
    await _record(request, "agent.published", agent_id, version=version)
    return published.agent


@endpoint(
    "POST",
    "/v1/agents/{agent_id:uuid}/rollback",
    _WRITE,
    tags=_TAGS,
    summary="Go back to a version",
)
async def post_rollback(
    request: GatewayRequest,
    agent_id: FromPath[UUID],
    data: JSONBody[RollbackRequest],
    idempotency_key: IdempotencyKey = "",
) -> Agent:
    """Publishes an earlier version's settings as the next version."""
    async with request_id(request, idempotency_key, data) as key:
        return Agent.of(await roll_back(request, agent_id, data.version, key))


async def roll_back(request: GatewayRequest, agent_id: UUID, version: int, key: UUID) -> Message:
    """Publishes an earlier version's settings as the next version; also for the pages."""
    published = await call(
        parts_of(request).clients.agents.RollbackAgent,
        pb.RollbackAgentRequest(request_id=str(key), agent_id=str(agent_id), version=version),
    )
    await _record(request, "agent.rolled_back", agent_id, version=str(version))
    return published.agent


@endpoint("GET", "/v1/agents/{agent_id:uuid}/versions", _READ, tags=_TAGS, summary="List versions")
async def get_versions(request: GatewayRequest, agent_id: FromPath[UUID]) -> AgentVersionList:
    """An agent's published versions, newest first."""
    found = await list_versions(request, agent_id)
    return AgentVersionList([AgentVersion.of(version) for version in found])


async def list_versions(request: GatewayRequest, agent_id: UUID) -> Sequence[VersionMessage]:
    """An agent's published versions, newest first; also for the pages."""
    found = await call(
        parts_of(request).clients.agents.ListAgentVersions,
        pb.ListAgentVersionsRequest(agent_id=str(agent_id)),
    )
    return found.versions


@endpoint(
    "GET",
    "/v1/agents/{agent_id:uuid}/estimate",
    _READ,
    tags=_TAGS,
    summary="Get the most that an answer can cost",
)
async def get_estimate(request: GatewayRequest, agent_id: FromPath[UUID]) -> AgentEstimate:
    """What every attempt of the draft's ladder can cost with the largest turn there is."""
    agents = parts_of(request).clients.agents
    found = await call(agents.GetAgent, pb.GetAgentRequest(agent_id=str(agent_id)))
    return await estimate(request, found.agent.draft)


async def estimate(request: GatewayRequest, config: AgentConfigMessage) -> AgentEstimate:
    """The most that an answer by these settings can cost; also for the pages."""
    clients = parts_of(request).clients
    estimated = await call(clients.models.EstimateAnswer, estimate_request(config))
    return AgentEstimate.of(estimated, await resolution_nanos(clients))


@endpoint(
    "GET",
    "/v1/agents/{agent_id:uuid}/thresholds",
    Access(role=Role.VIEWER, scope="conversations:read"),
    tags=_TAGS,
    summary="Try other thresholds on past questions",
)
async def get_threshold_trial(
    request: GatewayRequest,
    agent_id: FromPath[UUID],
    answer: Annotated[
        int,
        QueryParameter(
            name="answer", ge=1, le=1000, description="Relevance to answer from, in thousandths."
        ),
    ],
    handoff: Annotated[
        int,
        QueryParameter(
            name="handoff",
            ge=0,
            le=1000,
            description="Relevance to hand over below, in thousandths; 0 for the published one.",
        ),
    ] = 0,
    latest: Annotated[
        int, QueryParameter(name="latest", ge=1, le=1000, description="The most questions.")
    ] = 200,
) -> ThresholdTrial:
    """What becomes of the agent's latest questions by its published thresholds and by others.

    They are decided by the passages that were found for them then; nothing is searched or changed.
    """
    return ThresholdTrial.of(await try_thresholds(request, agent_id, answer, handoff, latest))


async def try_thresholds(
    request: GatewayRequest, agent_id: UUID, answer: int, handoff: int = 0, latest: int = 0
) -> pb.TryThresholdsResponse:
    """Asks what other thresholds would have made of past questions; also for the page."""
    return await call(
        parts_of(request).clients.agents.TryThresholds,
        pb.TryThresholdsRequest(
            agent_id=str(agent_id),
            answer_threshold_millis=answer,
            handoff_threshold_millis=handoff,
            latest=latest,
        ),
    )


async def set_threshold(request: GatewayRequest, agent_id: UUID, answer: int) -> None:
    """Has the agent's draft answer from a relevance; says so in the audit log; for the page."""
    clients = parts_of(request).clients
    found = await call(clients.agents.GetAgent, pb.GetAgentRequest(agent_id=str(agent_id)))
    config, revision = found.agent.draft, found.agent.revision
    config.answer_threshold_millis = answer
    config.handoff_threshold_millis = min(config.handoff_threshold_millis, answer)
    await change_draft(request, agent_id, config, revision)


@endpoint(
    "GET",
    "/v1/agents/{agent_id:uuid}/public",
    Access(anonymous=True, cross_origin=True, limit="public"),
    tags=_TAGS,
    summary="What a visitor may know of an agent",
)
async def get_public(
    request: GatewayRequest,
    agent_id: Annotated[UUID, PathParameter(description="The agent; it must be published.")],
) -> PublicAgent:
    """Name, greeting and suggested questions, for the widget."""
    parts = parts_of(request)
    tenant_id = await parts.widgets.tenant_of(agent_id)
    with context.background(tenant_id), context.deadline_in(_READ.timeout_s):
        found = await call(
            parts.clients.agents.GetPublicAgent, pb.GetPublicAgentRequest(agent_id=str(agent_id))
        )
    return PublicAgent.of(agent_id, found)


async def _record(request: GatewayRequest, action: str, agent_id: UUID, **facts: str) -> None:
    principal = request.user
    actor = audit.actor_of(principal, client_ip_of(request.scope))
    async with parts_of(request).db.tenant(principal.tenant_id) as conn:
        await audit.record(conn, principal.tenant_id, actor, action, str(agent_id), facts)


HANDLERS: list[HTTPRouteHandler] = [
    get_agents,
    post_agent,
    get_agent,
    put_agent,
    post_publish,
    post_rollback,
    get_versions,
    get_estimate,
    get_threshold_trial,
    get_public,
]
