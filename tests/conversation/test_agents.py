"""AgentService, over a real channel."""

from typing import Any
from uuid import uuid4

import pytest
from fleetdesk.conversation.v1 import agent_pb2, events_pb2
from fleetdesk.conversation.v1 import agent_service_pb2 as pb
from fleetdesk.gateway.v1 import events_pb2 as gateway_events
from fleetkit.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from harness.access import assert_refuses_strangers
from harness.waiting import eventually

SERVICE = "fleetdesk.conversation.v1.AgentService"


def config(**changes) -> agent_pb2.AgentConfig:
    return agent_pb2.AgentConfig(**{"name": "Ada", "preset": agent_pb2.PRESET_TECHNICAL, **changes})


@pytest.fixture
def admin(as_identity, tenant_id):
    """`with admin():` acts as an admin of the tenant."""
    return lambda: as_identity(tenant_id, role="admin", subject="user-1")


@pytest.fixture
async def agent(agents, admin) -> agent_pb2.Agent:
    """An agent that is not published."""
    with admin():
        return (await agents.CreateAgent(pb.CreateAgentRequest(config=config()))).agent


async def publish(agents, agent_id: str, request_id: str = "") -> agent_pb2.Agent:
    request = pb.PublishAgentRequest(request_id=request_id, agent_id=agent_id)
    return (await agents.PublishAgent(request)).agent


async def update(agents, agent_id: str, revision: int = 0, **changes) -> agent_pb2.Agent:
    request = pb.UpdateDraftRequest(agent_id=agent_id, config=config(**changes), revision=revision)
    return (await agents.UpdateDraft(request)).agent


class TestStrangers:
    async def test_are_refused(self, running):
        named: dict[str, Any] = {"agent_id": str(uuid4())}
        for rpc, request in {
            "CreateAgent": pb.CreateAgentRequest(config=config()),
            "GetAgent": pb.GetAgentRequest(**named),
            "GetPublicAgent": pb.GetPublicAgentRequest(**named),
            "ListAgents": pb.ListAgentsRequest(),
            "UpdateDraft": pb.UpdateDraftRequest(config=config(), **named),
            "PublishAgent": pb.PublishAgentRequest(**named),
            "RollbackAgent": pb.RollbackAgentRequest(version=1, **named),
            "ListAgentVersions": pb.ListAgentVersionsRequest(**named),
            "TryThresholds": pb.TryThresholdsRequest(answer_threshold_millis=500, **named),
        }.items():
            await assert_refuses_strangers(running, f"{SERVICE}.{rpc}", request)

    async def test_of_another_tenant_find_nothing(
        self, agents, agent, running, as_identity, other_tenant_id, admin
    ):
        with admin():
            await publish(agents, agent.agent_id)
        named = {"agent_id": agent.agent_id}
        with as_identity(other_tenant_id, role="owner"):
            for call in (
                agents.GetAgent(pb.GetAgentRequest(**named)),
                agents.GetPublicAgent(pb.GetPublicAgentRequest(**named)),
                agents.UpdateDraft(pb.UpdateDraftRequest(config=config(), **named)),
                agents.PublishAgent(pb.PublishAgentRequest(**named)),
                agents.RollbackAgent(pb.RollbackAgentRequest(version=1, **named)),
                agents.ListAgentVersions(pb.ListAgentVersionsRequest(**named)),
            ):
                with pytest.raises(NotFound):
                    await call
            assert not (await agents.ListAgents(pb.ListAgentsRequest())).agents
        assert [row["revision"] for row in await running.rows("select revision from agent")] == [2]

    async def test_who_take_an_id_get_an_agent_of_their_own(
        self, agents, agent, admin, as_identity, other_tenant_id
    ):
        with as_identity(other_tenant_id, role="admin"):
            request = pb.CreateAgentRequest(agent_id=agent.agent_id, config=config(name="Eve"))
            made = (await agents.CreateAgent(request)).agent
        assert made.draft.name == "Eve"
        with admin():
            mine = (await agents.GetAgent(pb.GetAgentRequest(agent_id=agent.agent_id))).agent
        assert mine == agent


class TestCreateAgent:
    async def test_makes_a_draft(self, running, agent):
        assert agent.draft == config()
        assert not agent.HasField("published")
        assert (agent.published_version, agent.draft_changed, agent.revision) == (0, True, 1)
        assert await running.events(events_pb2.AgentPublished) == []

    async def test_publishes_at_once_when_asked(self, running, agents, admin, tenant_id):
        with admin():
            request = pb.CreateAgentRequest(config=config(), publish=True)
            agent = (await agents.CreateAgent(request)).agent
        assert agent.published == agent.draft == config()
        assert (agent.published_version, agent.draft_changed) == (1, False)
        [event] = await running.events(events_pb2.AgentPublished)
        assert (event["agentId"], event["version"]) == (agent.agent_id, 1)
        assert (event["tenantId"], event["revision"]) == (str(tenant_id), str(agent.revision))

    async def test_returns_an_agent_of_the_same_id_unchanged(self, agents, agent, admin):
        with admin():
            request = pb.CreateAgentRequest(
                agent_id=agent.agent_id, config=config(name="Other"), publish=True
            )
            again = (await agents.CreateAgent(request)).agent
        assert again == agent

    async def test_is_idempotent_by_request_id(self, agents, admin):
        request = pb.CreateAgentRequest(request_id="r1", config=config())
        with admin():
            first = (await agents.CreateAgent(request)).agent
            again = (await agents.CreateAgent(request)).agent
            listed = (await agents.ListAgents(pb.ListAgentsRequest())).agents
            request.config.name = "Other"
            with pytest.raises(AlreadyExists) as caught:
                await agents.CreateAgent(request)
        assert first == again
        assert list(listed) == [first]
        assert (caught.value.field, caught.value.reason) == ("request_id", "REQUEST_ID_REUSED")

    async def test_names_what_is_wrong_and_stores_nothing(self, running, agents, admin):
        with admin():
            for wrong, field in (
                (pb.CreateAgentRequest(config=config(name="")), "config.name"),
                (pb.CreateAgentRequest(config=config(preset=0)), "config.preset"),
                (pb.CreateAgentRequest(config=config(preset=99)), "config.preset"),
                (pb.CreateAgentRequest(), "config.name"),
                (pb.CreateAgentRequest(agent_id="x", config=config()), "agent_id"),
                (pb.CreateAgentRequest(request_id="r" * 201, config=config()), "request_id"),
            ):
                with pytest.raises(InvalidArgument) as caught:
                    await agents.CreateAgent(wrong)
                assert caught.value.field == field
        assert await running.rows("select * from agent") == []
        assert await running.rows("select * from request") == []

    async def test_refuses_a_model_that_nobody_serves(self, agents, admin):
        with admin():
            with pytest.raises(InvalidArgument) as caught:
                await agents.CreateAgent(pb.CreateAgentRequest(config=config(model="fake/none")))
            served = pb.CreateAgentRequest(config=config(model="fake/writer"))
            assert (await agents.CreateAgent(served)).agent.draft.model == "fake/writer"
        assert (caught.value.field, caught.value.reason) == ("config.model", "UNKNOWN_MODEL")
        assert "fake/writer" in caught.value.message

    async def test_refuses_a_ladder_with_a_model_that_nobody_serves(
        self, agents, admin, neighbours
    ):
        neighbours.llm.models += ["fake/dear"]
        refused = (
            (config(model="fake/writer", next_models=["fake/dear", "fake/none"]), 1),
            # The default is its first model.
            (config(next_models=["fake/writer"]), 0),
        )
        with admin():
            for wrong, at in refused:
                with pytest.raises(InvalidArgument) as caught:
                    await agents.CreateAgent(pb.CreateAgentRequest(config=wrong))
                assert caught.value.field == f"config.next_models[{at}]"
            served = config(model="fake/writer", next_models=["fake/dear"])
            made = (await agents.CreateAgent(pb.CreateAgentRequest(config=served))).agent
        assert list(made.draft.next_models) == ["fake/dear"]


class TestUpdateDraft:
    async def test_changes_the_draft_only(self, agents, agent, admin):
        with admin():
            await publish(agents, agent.agent_id)
            changed = await update(agents, agent.agent_id, name="Bob")
        assert (changed.draft.name, changed.published.name) == ("Bob", "Ada")
        assert changed.draft_changed
        assert changed.revision == 3

    async def test_refuses_a_change_based_on_an_older_revision(self, agents, agent, admin):
        with admin():
            await update(agents, agent.agent_id, agent.revision, name="Bob")
            with pytest.raises(FailedPrecondition) as caught:
                await update(agents, agent.agent_id, agent.revision, name="Eve")
            kept = (await agents.GetAgent(pb.GetAgentRequest(agent_id=agent.agent_id))).agent
        assert caught.value.reason == "REVISION_MISMATCH"
        assert caught.value.details == {"revision": "2"}
        assert kept.draft.name == "Bob"

    async def test_names_what_is_wrong(self, agents, agent, admin):
        with admin(), pytest.raises(InvalidArgument) as caught:
            await update(agents, agent.agent_id, max_tokens=5)
        assert caught.value.field == "config.max_tokens"

    async def test_is_idempotent_by_request_id(self, agents, agent, admin):
        request = pb.UpdateDraftRequest(
            request_id="r1", agent_id=agent.agent_id, config=config(name="Bob"), revision=1
        )
        with admin():
            first = (await agents.UpdateDraft(request)).agent
            again = (await agents.UpdateDraft(request)).agent
        assert first == again


class TestPublishAgent:
    async def test_makes_the_draft_the_next_version(self, running, agents, agent, admin):
        with admin():
            await publish(agents, agent.agent_id)
            await update(agents, agent.agent_id, name="Bob")
            second = await publish(agents, agent.agent_id)
            request = pb.ListAgentVersionsRequest(agent_id=agent.agent_id)
            versions = (await agents.ListAgentVersions(request)).versions
        assert (second.published_version, second.published.name) == (2, "Bob")
        assert [(each.version, each.config.name) for each in versions] == [(2, "Bob"), (1, "Ada")]
        assert {each.publisher for each in versions} == {"user-1"}
        events = await running.events(events_pb2.AgentPublished)
        assert [event["version"] for event in events] == [1, 2]
        assert [event["revision"] for event in events] == ["2", "4"]

    async def test_is_idempotent_by_request_id(self, agents, agent, admin):
        with admin():
            first = await publish(agents, agent.agent_id, "r1")
            again = await publish(agents, agent.agent_id, "r1")
        assert first == again
        assert again.published_version == 1

    async def test_versions_never_change(self, running, agents, agent, admin, tenant_id):
        with admin():
            await publish(agents, agent.agent_id)
        with pytest.raises(Exception, match="versions never change"):
            async with running.db.tenant(tenant_id) as conn:
                await conn.execute("update agent_version set publisher = 'x'")


class TestRollbackAgent:
    async def test_publishes_an_earlier_version_as_the_next(self, agents, agent, admin):
        with admin():
            await publish(agents, agent.agent_id)
            await update(agents, agent.agent_id, name="Bob")
            await publish(agents, agent.agent_id)
            request = pb.RollbackAgentRequest(agent_id=agent.agent_id, version=1)
            back = (await agents.RollbackAgent(request)).agent
        assert (back.published_version, back.published.name) == (3, "Ada")
        assert (back.draft.name, back.draft_changed) == ("Bob", True)

    async def test_says_which_versions_there_are(self, agents, agent, admin):
        with admin():
            await publish(agents, agent.agent_id)
            with pytest.raises(NotFound) as caught:
                await agents.RollbackAgent(
                    pb.RollbackAgentRequest(agent_id=agent.agent_id, version=7)
                )
        assert caught.value.field == "version"
        assert "1–1" in caught.value.message


class TestGetPublicAgent:
    async def test_shows_visitors_what_is_published(
        self, agents, agent, admin, as_background, tenant_id
    ):
        request = pb.GetPublicAgentRequest(agent_id=agent.agent_id)
        with as_background(tenant_id), pytest.raises(NotFound):
            await agents.GetPublicAgent(request)
        with admin():
            await update(agents, agent.agent_id, greeting="Hi", suggested_questions=["Where?"])
            await publish(agents, agent.agent_id)
            await update(agents, agent.agent_id, name="Secret")
        with as_background(tenant_id):
            shown = await agents.GetPublicAgent(request)
        expected = pb.GetPublicAgentResponse(
            name="Ada", greeting="Hi", suggested_questions=["Where?"]
        )
        assert shown == expected


class TestListAgents:
    async def test_lists_the_oldest_first(self, agents, agent, as_identity, tenant_id, admin):
        with admin():
            second = (await agents.CreateAgent(pb.CreateAgentRequest(config=config()))).agent
        with as_identity(tenant_id, role="viewer"):
            listed = await agents.ListAgents(pb.ListAgentsRequest())
        assert [each.agent_id for each in listed.agents] == [agent.agent_id, second.agent_id]
        meant = {each.preset: each for each in listed.presets}
        assert meant[agent_pb2.PRESET_TECHNICAL].max_tokens == 1536
        assert meant[agent_pb2.PRESET_TECHNICAL].temperature_millis == 100
        assert "engineer" in meant[agent_pb2.PRESET_TECHNICAL].instructions
        assert meant[agent_pb2.PRESET_CUSTOM].instructions == ""


class TestTenantCreated:
    async def test_makes_the_first_agent_published(self, bus, agents, admin, tenant_id):
        agent_id = str(uuid4())
        await bus.emit(gateway_events.TenantCreated(agent_id=agent_id, revision=1), tenant_id)

        async def made() -> agent_pb2.Agent | None:
            with admin():
                listed = (await agents.ListAgents(pb.ListAgentsRequest())).agents
            return listed[0] if listed else None

        agent = await eventually(made)
        assert agent is not None
        assert (agent.agent_id, agent.published_version) == (agent_id, 1)
        assert agent.published.preset == agent_pb2.PRESET_FRIENDLY

    async def test_leaves_an_agent_that_sign_up_made_already(
        self, bus, running, agents, admin, tenant_id
    ):
        agent_id = str(uuid4())
        with admin():
            made = await agents.CreateAgent(
                pb.CreateAgentRequest(agent_id=agent_id, config=config(), publish=True)
            )
        await bus.emit(gateway_events.TenantCreated(agent_id=agent_id, revision=1), tenant_id)
        await eventually(lambda: running.rows("select 1 from inbox"))
        with admin():
            listed = (await agents.ListAgents(pb.ListAgentsRequest())).agents
        assert list(listed) == [made.agent]
        assert len(await running.events(events_pb2.AgentPublished)) == 1
