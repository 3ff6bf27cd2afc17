"""The ledger as a file: every row once, exact, in the columns of FOCUS 1.2."""

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit import context
from fleetkit.context import Attribution
from fleetkit.errors import InvalidArgument
from harness.access import assert_refuses_strangers
from harness.services import Running
from llm_gateway import export, pricing
from llm_gateway.entries import Meter
from llm_gateway.ledger import Attempt, Ledger, PaidBy
from llm_gateway.pricing import Unit

SONNET = "anthropic/claude-sonnet-5-5"
# Version 1.2: columns that must be there, and which of them may be empty.
MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart",
    "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity",
    "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
}  # fmt: skip
MAY_BE_EMPTY = {"BillingAccountName", "ChargeClass", "SubAccountId", "SubAccountName"}
DECIMAL = re.compile(r"-?\d+(\.\d+)?")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
async def running(start: Any) -> Running:
    return await start(embed_workers=0, anthropic_api_key="sk-unused", answer_model=SONNET)


@pytest.fixture
def stub(running: Running) -> Any:
    return running.stub(LlmGatewayServiceStub, caller="gateway")


async def spend(
    running: Running,
    tenant_id: UUID,
    whose: Attribution,
    paid_by: PaidBy = "fleet",
    **units: int,
) -> None:
    ledger = Ledger(running.db, running.rt.clock, pricing.load())
    used = {Unit[name]: count for name, count in units.items()}
    with context.background(tenant_id, whose):
        attempt = Attempt(paid_by=paid_by)
        call = await ledger.open_call(tenant_id, "answer", SONNET, used, attempt)
        await ledger.close_call(call, Meter(True, True, used))


async def written(stub: Any, file_format: str, **fields: Any) -> list[dict[str, str]]:
    export_format = pb.ExportFormat.Value(f"EXPORT_FORMAT_{file_format.upper()}")
    wanted = pb.ExportUsageRequest(format=export_format, **fields)
    data = b"".join([piece.data async for piece in stub.ExportUsage(wanted)])
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


class TestExportUsage:
    async def test_refuses_strangers_and_what_is_no_period(
        self, running: Running, stub: Any, as_identity: Callable[..., Any], tenant_id: UUID
    ) -> None:
        method = "fleetdesk.llm_gateway.v1.LlmGatewayService.ExportUsage"
        await assert_refuses_strangers(running, method, pb.ExportUsageRequest())
        now = datetime.now(UTC)
        with as_identity(tenant_id):
            for start, end in ((now, now - timedelta(1)), (now - timedelta(367), now)):
                with pytest.raises(InvalidArgument):
                    await written(stub, "csv", start_time=start, end_time=end)
            with pytest.raises(InvalidArgument, match="csv, focus"):
                await written(stub, "unspecified")

    async def test_each_row_once_to_the_nano_dollar(
        self,
        running: Running,
        stub: Any,
        as_identity: Callable[..., Any],
        tenant_id: UUID,
        other_tenant_id: UUID,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(export, "_PAGE", 2)
        whose = Attribution("turn", conversation_id=uuid4(), agent_id=uuid4())
        await spend(running, tenant_id, whose, INPUT=7, CACHE_READ=3_333, CACHE_WRITE_1H=1)
        await spend(running, tenant_id, Attribution("=1+1"), "tenant", OUTPUT=123_456_789)
        await spend(running, other_tenant_id, whose, INPUT=1)
        ledger = await running.rows(
            "select * from usage_entry where tenant_id = %s order by create_time, usage_id",
            tenant_id,
        )
        with as_identity(tenant_id):
            plain, focus = await written(stub, "csv"), await written(stub, "focus")
        assert [row["usage_id"] for row in plain] == [str(row["usage_id"]) for row in ledger]
        assert [row["x_UsageId"] for row in focus] == [str(row["usage_id"]) for row in ledger]
        total = sum(row["amount_nanos"] for row in ledger)
        assert sum(int(row["amount_nanos"]) for row in plain) == total
        assert sum(Decimal(row["BilledCost"]) for row in focus) == Decimal(total) / 10**9
        # What a key of the tenant's own paid for stands on its provider's invoice.
        issuers = {"fleet": "Fleetdesk", "tenant": "Anthropic"}
        assert [row["paid_by"] for row in plain] == [row["paid_by"] for row in ledger]
        assert {row["paid_by"] for row in plain} == {*issuers}
        assert [row["x_PaidBy"] for row in focus] == [row["paid_by"] for row in plain]
        assert all(row["InvoiceIssuerName"] == issuers[row["x_PaidBy"]] for row in focus)
        # What a spreadsheet would take for a formula is text in it.
        assert "'=1+1" in {row["purpose"] for row in plain}
        for row in focus:
            check_focus(row)
        (written_row,) = [row for row in focus if row["SkuMeter"] == "cache_write_1h_token"]
        assert written_row["ListUnitPrice"] == "4"
        assert (written_row["PricingQuantity"], written_row["BilledCost"]) == (
            "0.000001",
            "0.000004",
        )
        assert written_row["SubAccountId"] == str(whose.agent_id)
        assert written_row["ProviderName"] == "Anthropic"
        tags = json.loads(written_row["Tags"])
        assert tags["fleetdesk/conversation_id"] == str(whose.conversation_id)


def check_focus(row: dict[str, str]) -> None:
    """The column rules of FOCUS 1.2 that apply to usage of a service priced by the unit."""
    assert set(row) >= MANDATORY
    assert all(name in MAY_BE_EMPTY or value for name, value in row.items() if name in MANDATORY)
    for name, value in row.items():
        assert re.fullmatch(r"(x_)?[A-Z][A-Za-z]+", name), name
        if name.endswith(("Cost", "Price", "Quantity")):
            assert DECIMAL.fullmatch(value), name
        if name.endswith(("Start", "End")):
            assert TIME.fullmatch(value), name
    assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"]
    assert row["ChargePeriodStart"] < row["BillingPeriodEnd"]
    assert row["BillingPeriodStart"].endswith("-01T00:00:00Z")
    assert row["BillingPeriodEnd"].endswith("-01T00:00:00Z")
    assert row["BillingCurrency"] == "USD"
    assert (row["ChargeCategory"], row["ChargeClass"]) == ("Usage", "")
    assert row["ChargeFrequency"] == "Usage-Based"
    assert row["ServiceCategory"] == "AI and Machine Learning"
    assert row["ServiceSubcategory"] in ("Generative AI", "Other (AI and Machine Learning)")
    quantity = Decimal(row["PricingQuantity"])
    assert Decimal(row["ListCost"]) == Decimal(row["ListUnitPrice"]) * quantity
    assert Decimal(row["ContractedCost"]) == Decimal(row["ContractedUnitPrice"]) * quantity
    assert abs(Decimal(row["BilledCost"]) - Decimal(row["ListCost"])) <= Decimal("5e-10")
    assert row["BilledCost"] == row["EffectiveCost"]
    assert (row["SubAccountId"] == "") == (row["SubAccountType"] == "")
    json.loads(row["Tags"])
