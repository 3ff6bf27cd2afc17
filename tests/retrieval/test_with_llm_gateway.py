"""Retrieval with the real embedding model: its costs are on the ledger, strangers are known."""

from uuid import UUID, uuid4

import pytest
from fleetdesk.retrieval.v1 import document_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetdesk.retrieval.v1.retrieval_service_pb2_grpc import RetrievalServiceStub
from fleetkit.context import Attribution, attributed

from .conftest import Knowledge, stub_of, text

# A handful of short documents, where word statistics say nothing.
DOCUMENTS = (
    (
        "# Starting\n\nRun `make up` to start the fleet on one machine. It installs what it needs, "
        "starts the database and the services, and prints the address of the dashboard.\n"
    ),
    (
        "# Costs\n\nThe ledger keeps one row for every model call, with its units and its price. "
        "A receipt adds up the rows of one message.\n"
    ),
    (
        "# Stopping\n\nPress Ctrl-C, or run `make down` when it was started in the background. "
        "Data stays in the data folder until `make reset` deletes it. Capital letters in names of "
        "settings matter.\n"
    ),
)


@pytest.mark.timeout(240)
async def test_the_whole_way(fleet_service, as_identity, as_background, tenant_id):
    llm_gateway = await fleet_service("llm-gateway")
    retrieval = await fleet_service(
        "retrieval",
        llm_gateway_address=llm_gateway.address,
        # On a busy machine a search would do without its vector.
        query_embed_timeout_s=30.0,
    )
    knowledge = Knowledge(stub_of(retrieval), as_identity, tenant_id)

    outcomes = await knowledge.create(*(text(body) for body in DOCUMENTS))
    sources = [await knowledge.ended(o.source.source_id, timeout_s=120) for o in outcomes]
    assert {source.status for source in sources} == {document_pb2.DOCUMENT_STATUS_READY}

    answered = await knowledge.search("How do I start the fleet?")
    assert answered.results[0].title == "Starting"
    assert answered.relevance > 0.5
    for stranger in ("What is the capital of France?", "Who painted the Mona Lisa?"):
        assert (await knowledge.search(stranger)).relevance < 0.3

    stub = retrieval.stub(RetrievalServiceStub, caller="conversation")
    turn = Attribution(purpose="turn", message_id=uuid4(), conversation_id=uuid4())
    with as_background(tenant_id), attributed(turn):
        await stub.Search(pb.SearchRequest(query="What does a receipt add up?"))

    rows = await llm_gateway.rows("select * from usage_entry where tenant_id = %s", tenant_id)
    assert {row["service"] for row in rows} == {"retrieval"}
    assert {row["purpose"] for row in rows} == {"ingest", "search", "turn"}
    documents = {row["knowledge_document_id"] for row in rows if row["purpose"] == "ingest"}
    assert documents == {UUID(source.document_id) for source in sources}
    assert {row["message_id"] for row in rows if row["purpose"] == "turn"} == {turn.message_id}
    assert all(row["amount_nanos"] > 0 for row in rows if row["purpose"] == "ingest")
