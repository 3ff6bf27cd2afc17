"""Agents: their draft, their versions, and which one visitors get."""

from uuid import UUID

from fleetdesk.conversation.v1 import agent_service_pb2 as pb
from fleetdesk.conversation.v1 import events_pb2
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm_pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from fleetkit.events import publish
from fleetkit.logging import get_logger
from fleetkit.postgres import Database, FleetConnection, remember_tenant

from conversation.agent_config import AgentConfig, validate
from conversation.requests import check_request_id, once
from conversation.store import agents as store
from conversation.store.agents import AgentRow, AgentVersionRow

_MODELS_TIMEOUT_S = 2.0


async def create_agent(
    conn: FleetConnection,
    tenant_id: UUID,
    agent_id: UUID,
    config: AgentConfig,
    *,
    publisher: str,
    publish_now: bool,
) -> AgentRow:
    """Makes an agent; an existing one of the tenant is returned unchanged."""
    validate(config)
    # For jobs that visit every tenant; the event that tells of it may be late.
    await remember_tenant(conn, tenant_id)
    if await store.insert_agent(conn, tenant_id, agent_id, config.to_json()) and publish_now:
        await _publish(conn, tenant_id, agent_id, config, publisher)
    return await existing(conn, tenant_id, agent_id)


async def create_requested(
    db: Database,
    tenant_id: UUID,
    agent_id: UUID,
    request: pb.CreateAgentRequest,
    config: AgentConfig,
    publisher: str,
) -> AgentRow:
    """CreateAgent: once by request_id, and once by agent_id."""
    check_request_id(request.request_id)
    async with db.tenant(tenant_id) as conn:
        known = await once(conn, tenant_id, request, agent_id)
        if known is not None:
            return await existing(conn, tenant_id, known)
        return await create_agent(
            conn, tenant_id, agent_id, config, publisher=publisher, publish_now=request.publish
        )


async def update_draft(
    db: Database,
    tenant_id: UUID,
    agent_id: UUID,
    request: pb.UpdateDraftRequest,
    config: AgentConfig,
) -> AgentRow:
    """Replaces the draft. FailedPrecondition (REVISION_MISMATCH) when it changed meanwhile."""
    validate(config)
    async with db.tenant(tenant_id) as conn:
        agent = await _locked(conn, tenant_id, agent_id)
        if await once(conn, tenant_id, request, agent_id) is not None:
            return agent
        if request.revision not in (0, agent.revision):
            raise FailedPrecondition(
                "the agent was changed meanwhile: read it again, then repeat your change",
                field="revision",
                reason="REVISION_MISMATCH",
                details={"revision": str(agent.revision)},
            )
        await store.update_draft(conn, tenant_id, agent_id, config.to_json())
        return await existing(conn, tenant_id, agent_id)


async def publish_agent(
    db: Database,
    tenant_id: UUID,
    agent_id: UUID,
    request: pb.PublishAgentRequest,
    publisher: str,
) -> AgentRow:
    """Makes the draft the next version."""
    async with db.tenant(tenant_id) as conn:
        agent = await _locked(conn, tenant_id, agent_id)
        if await once(conn, tenant_id, request, agent_id) is not None:
            return agent
        config = AgentConfig.from_json(agent.draft)
        # Limits may have become stricter since the draft was stored.
        validate(config, "draft")
        await _publish(conn, tenant_id, agent_id, config, publisher)
        return await existing(conn, tenant_id, agent_id)


async def rollback_agent(
    db: Database,
    tenant_id: UUID,
    agent_id: UUID,
    request: pb.RollbackAgentRequest,
    publisher: str,
) -> AgentRow:
    """Publishes an earlier version's settings as the next version; the draft is left alone."""
    async with db.tenant(tenant_id) as conn:
        agent = await _locked(conn, tenant_id, agent_id)
        if await once(conn, tenant_id, request, agent_id) is not None:
            return agent
        version = await store.get_version(conn, tenant_id, agent_id, request.version)
        if version is None:
            raise NotFound(
                f"there is no version {request.version}: versions are 1–{agent.published_version}",
                field="version",
            )
        config = AgentConfig.from_json(version.config)
        await _publish(conn, tenant_id, agent_id, config, publisher)
        return await existing(conn, tenant_id, agent_id)


async def list_versions(db: Database, tenant_id: UUID, agent_id: UUID) -> list[AgentVersionRow]:
    """The versions of an agent, newest first."""
    async with db.tenant(tenant_id) as conn:
        await existing(conn, tenant_id, agent_id)
        return await store.list_versions(conn, tenant_id, agent_id)


async def existing(conn: FleetConnection, tenant_id: UUID, agent_id: UUID) -> AgentRow:
    """The agent; NotFound when the tenant has none of this id."""
    agent = await store.get_agent(conn, tenant_id, agent_id)
    if agent is None:
        raise NotFound("there is no such agent", field="agent_id")
    return agent


async def published_config(db: Database, tenant_id: UUID, agent_id: UUID) -> AgentConfig:
    """What visitors get; NotFound for an agent that is not published."""
    async with db.tenant(tenant_id) as conn:
        agent = await existing(conn, tenant_id, agent_id)
    if agent.published is None:
        raise NotFound("there is no such agent", field="agent_id")
    return AgentConfig.from_json(agent.published)


async def check_models(llm_gateway: LlmGatewayServiceStub, config: AgentConfig) -> None:
    """InvalidArgument when llm-gateway has not every model; lets it pass when that can't be told.

    What it has is configured and priced.
    """
    if not any(config.models):
        return
    try:
        response = await llm_gateway.ListModels(
            llm_pb.ListModelsRequest(), timeout=_MODELS_TIMEOUT_S
        )
    except Unavailable:
        get_logger().warning("model_not_checked")
        return
    known = [model.model for model in response.models]
    fields = (
        "config.model",
        *(f"config.next_models[{at}]" for at in range(len(config.next_models))),
    )
    for field, model in zip(fields, config.models, strict=False):
        if model and model not in known:
            raise InvalidArgument(
                f"the model is not served here: choose one of {', '.join(known)}, or leave it out",
                field=field,
                reason="UNKNOWN_MODEL",
            )
    default = next((model.model for model in response.models if model.is_default), "")
    if not config.model and default in config.next_models:
        raise InvalidArgument(
            f"{default} is the first model already, as the default: name another",
            field=fields[1 + config.next_models.index(default)],
        )


async def _locked(conn: FleetConnection, tenant_id: UUID, agent_id: UUID) -> AgentRow:
    if not await store.lock_agent(conn, tenant_id, agent_id):
        raise NotFound("there is no such agent", field="agent_id")
    return await existing(conn, tenant_id, agent_id)


async def _publish(
    conn: FleetConnection, tenant_id: UUID, agent_id: UUID, config: AgentConfig, publisher: str
) -> None:
    version = await store.publish_version(conn, tenant_id, agent_id, config.to_json(), publisher)
    agent = await existing(conn, tenant_id, agent_id)
    event = events_pb2.AgentPublished(agent_id=str(agent_id), version=version)
    await publish(conn, event, revision=agent.revision)
