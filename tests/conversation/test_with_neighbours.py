"""A conversation among the real services: billing, memory, llm-gateway and retrieval."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fleetdesk.conversation.v1 import agent_service_pb2 as agent_pb
from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1 import conversation_service_pb2 as service
from fleetdesk.conversation.v1.agent_service_pb2_grpc import AgentServiceStub
from fleetdesk.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm_pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetdesk.retrieval.v1 import document_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from fleetdesk.retrieval.v1.retrieval_service_pb2_grpc import RetrievalServiceStub
from harness.conversing import Visitor, config, kinds, said
from harness.services import Running
from harness.waiting import eventually

ARTICLES = {
    "Return a product": "# Return a product\n\nYou can return a product within 30 days of "
    "delivery. Print the label from your account page and drop the parcel at any post office. "
    "The refund reaches your card within five working days.\n",
    "Reset the router": "# Reset the router\n\nHold the reset button on the back for ten "
    "seconds until the light turns amber. All settings are lost, also the name of the network.\n",
    "Opening hours": "# Opening hours\n\nThe shop is open from Monday to Friday, nine to six. "
    "On Saturdays it closes at one.\n",
}


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the converted model is kept for the whole run."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
async def neighbours(fleet_service, model_cache) -> dict[str, Running]:
    """The real ones."""
    llm_gateway = await fleet_service("llm-gateway", model_cache_dir=model_cache, embed_workers=1)
    return {
        "llm_gateway": llm_gateway,
        "billing": await fleet_service("billing", default_plan="development"),
        "memory": await fleet_service("memory"),
        "retrieval": await fleet_service("retrieval", llm_gateway_address=llm_gateway.address),
    }


@pytest.fixture
async def conversation(fleet_service, neighbours) -> AsyncIterator[Running]:
    """Conversation between them; stopped before them."""
    addresses = {f"{name}_address": running.address for name, running in neighbours.items()}
    running = await fleet_service("conversation", **addresses)
    yield running
    await running.stop()


@pytest.fixture
async def visitor(conversation, neighbours, as_identity, as_background, tenant_id) -> Visitor:
    """A visitor of a tenant that knows three articles."""
    await teach(neighbours["retrieval"], as_identity, tenant_id)
    agents = conversation.stub(AgentServiceStub, caller="gateway")
    with as_identity(tenant_id, role="admin"):
        request = agent_pb.CreateAgentRequest(config=config(), publish=True)
        agent_id = (await agents.CreateAgent(request)).agent.agent_id
    stub = conversation.stub(ConversationServiceStub, caller="gateway")
    with as_background(tenant_id):
        begun = await stub.CreateConversation(
            service.CreateConversationRequest(request_id=str(uuid4()), agent_id=agent_id)
        )
    made = begun.conversation
    return Visitor(
        conversation, tenant_id, agent_id, made.conversation_id, made.visitor_id, as_identity
    )


async def teach(retrieval: Running, as_identity: Any, tenant_id: Any) -> None:
    """Uploads the articles, and waits until they can be found."""
    stub = retrieval.stub(RetrievalServiceStub, caller="gateway")
    sources = [
        retrieval_pb.SourceInput(
            type=document_pb2.SOURCE_TYPE_TEXT, title=title, content=text.encode()
        )
        for title, text in ARTICLES.items()
    ]
    with as_identity(tenant_id, role="agent"):
        await stub.CreateSources(
            retrieval_pb.CreateSourcesRequest(request_id="articles", sources=sources)
        )

    async def ready() -> bool:
        with as_identity(tenant_id, role="agent"):
            found = await stub.ListSources(retrieval_pb.ListSourcesRequest())
        states = [source.status for source in found.sources]
        assert document_pb2.DOCUMENT_STATUS_FAILED not in states
        return states == [document_pb2.DOCUMENT_STATUS_READY] * len(ARTICLES)

    await eventually(ready, timeout_s=60)


async def ledger_of(llm_gateway: Running, visitor: Visitor) -> list[Any]:
    """The ledger's rows of the visitor's conversation."""
    stub = llm_gateway.stub(LlmGatewayServiceStub, caller="gateway")
    with visitor.person("viewer"):
        request = llm_pb.ListUsageRequest(conversation_id=visitor.conversation_id)
        return list((await stub.ListUsage(request)).items)


async def test_a_question_gets_a_cited_answer_with_its_exact_cost(visitor, neighbours):
    turn = await visitor.ask("How do I reset the router?")
    assert kinds(turn) == ["started", "delta", "citations", "finished"]
    message = turn[-1].finished.message
    assert message.text == said(turn)
    assert "ten seconds" in message.text
    assert message.outcome == pb.OUTCOME_ANSWERED
    assert message.citations[0].title == "Reset the router"
    assert 0 < message.confidence <= 1
    rows = await ledger_of(neighbours["llm_gateway"], visitor)
    assert message.receipt.total_nanos == sum(row.amount_nanos for row in rows) > 0
    assert {row.service for row in rows} == {"retrieval", "conversation"}
    assert {row.message_id for row in rows} == {message.message_id}
    assert {row.purpose for row in rows} == {"turn"}
    assert {row.agent_id for row in rows} == {visitor.agent_id}
    found = await visitor.read(with_receipts=True)
    assert found.messages[1].receipt == message.receipt


async def test_what_nobody_wrote_down_is_handed_over(visitor, neighbours):
    turn = await visitor.ask("What is the capital of France?")
    [handoff] = [event.handoff for event in turn if event.HasField("handoff")]
    assert handoff.reason == pb.HANDOFF_REASON_MISSING_KNOWLEDGE
    assert turn[-1].finished.message.receipt.total_nanos > 0


async def test_memory_has_what_was_said(visitor, neighbours):
    await visitor.ask("When is the shop open?")
    await visitor.ask("How many days do I have to return a product?")

    async def remembered() -> bool:
        rows = await neighbours["memory"].rows("select message_id from turn")
        return len(rows) == 4

    await eventually(remembered)
    said_there = await neighbours["memory"].rows("select message_id from turn")
    here = {message.message_id for message in (await visitor.read()).messages}
    assert {str(row["message_id"]) for row in said_there} == here


async def test_a_canceled_plan_hands_over(visitor, neighbours):
    async with neighbours["billing"].db.tenant(visitor.tenant_id) as conn:
        await conn.execute(
            "insert into subscription (tenant_id, plan_id, seats, status, period_start_time,"
            "  period_end_time)"
            " values (%s, 'free', 1, 'canceled', now(), now() + interval '1 day')",
            [visitor.tenant_id],
        )
    turn = await visitor.ask("When is the shop open?")
    [handoff] = [event.handoff for event in turn if event.HasField("handoff")]
    assert handoff.reason == pb.HANDOFF_REASON_USAGE_LIMIT
