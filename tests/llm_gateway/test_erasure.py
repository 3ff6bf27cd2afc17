"""The ledger outlives a tenant: what it cost stays, whom it was for goes."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit.context import Attribution
from fleetkit.erasure.rows import erase_rows
from fleetkit.erasure.rules import Target
from harness.drawing import screen
from llm_gateway.erasure import ERASURE


async def test_an_erased_tenants_ledger_names_no_visitor(
    start: Any, as_background: Callable[..., Any], tenant_id: UUID
) -> None:
    running = await start()
    stub = running.stub(LlmGatewayServiceStub, caller="vision-agent")
    for_visitor = Attribution(purpose="screen", visitor_id=uuid4())
    with as_background(tenant_id, for_visitor):
        await stub.See(pb.SeeRequest(image=screen("E-1041")), timeout=60)
    before = await running.rows("select amount_nanos, visitor_id from usage_entry")
    assert [row["visitor_id"] for row in before] == [for_visitor.visitor_id]
    target = Target(tenant_id, uuid4(), None, (), running.rt.clock.now())
    async with running.db.tenant(tenant_id) as conn:
        counts = await erase_rows(conn, ERASURE, target)
        again = await erase_rows(conn, ERASURE, target)
    assert (counts["usage_entry"], counts["usage_call"]) == (1, 1)
    assert again == {}
    after = await running.rows("select amount_nanos, visitor_id from usage_entry")
    assert after == [{"amount_nanos": before[0]["amount_nanos"], "visitor_id": None}]
    calls = await running.rows("select visitor_id from usage_call")
    assert [row["visitor_id"] for row in calls] == [None]
