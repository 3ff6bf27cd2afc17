"""ListUsage, SummarizeUsage and ListModels: who sees what, in pages and sums, to the nano."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1 import usage_pb2
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit import context
from fleetkit.context import Attribution
from fleetkit.errors import InvalidArgument, PermissionDenied
from google.protobuf.timestamp_pb2 import Timestamp
from harness.access import assert_refuses_strangers
from harness.services import Running
from llm_gateway import pricing
from llm_gateway.entries import Meter
from llm_gateway.ledger import Ledger
from llm_gateway.pricing import Unit

As = Callable[..., Any]
SERVICE = "fleetdesk.llm_gateway.v1.LlmGatewayService"
SONNET = "anthropic/claude-sonnet-5-5"


@pytest.fixture
async def running(start: Any) -> Running:
    return await start(embed_workers=0, anthropic_api_key="sk-unused", answer_model=SONNET)


@pytest.fixture
def stub(running: Running) -> Any:
    return running.stub(LlmGatewayServiceStub, caller="gateway")


@pytest.fixture
def ledger(running: Running) -> Ledger:
    return Ledger(running.db, running.rt.clock, pricing.load())


async def spend(
    ledger: Ledger, tenant_id: UUID, for_whom: Attribution | None = None, **units: int
) -> UUID:
    """A settled call of Sonnet 5.5: $2 input, $0.10 cache read, $10 output per million."""
    meter = Meter(units={Unit[name]: count for name, count in units.items()})
    meter.begun = meter.complete = True
    with context.background(tenant_id, for_whom):
        call = await ledger.open_call(tenant_id, "answer", SONNET, dict(meter.units))
        await ledger.close_call(call, meter)
    return call.call_id


class TestListUsage:
    async def test_refuses_strangers(self, running: Running) -> None:
        await assert_refuses_strangers(running, f"{SERVICE}.ListUsage", pb.ListUsageRequest())

    async def test_another_tenant_sees_nothing(
        self, stub: Any, ledger: Ledger, as_identity: As, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        message_id = uuid4()
        await spend(ledger, tenant_id, Attribution(message_id=message_id), INPUT=10)
        with as_identity(other_tenant_id, role="owner"):
            everything = await stub.ListUsage(pb.ListUsageRequest(), timeout=10)
            by_id = await stub.ListUsage(
                pb.ListUsageRequest(message_id=str(message_id)), timeout=10
            )
        assert everything == by_id == pb.ListUsageResponse()

    async def test_a_visitor_sees_their_own_conversation_only(
        self, stub: Any, ledger: Ledger, as_identity: As, tenant_id: UUID
    ) -> None:
        mine, other = uuid4(), uuid4()
        await spend(ledger, tenant_id, Attribution(conversation_id=mine), INPUT=10)
        await spend(ledger, tenant_id, Attribution(conversation_id=other), INPUT=10)
        with as_identity(tenant_id, kind="visitor", conversation_id=mine):
            seen = await stub.ListUsage(pb.ListUsageRequest(conversation_id=str(mine)), timeout=10)
            for refused in (
                pb.ListUsageRequest(),
                pb.ListUsageRequest(conversation_id=str(other)),
                pb.ListUsageRequest(message_id=str(uuid4())),
            ):
                with pytest.raises(PermissionDenied):
                    await stub.ListUsage(refused, timeout=10)
        assert [item.conversation_id for item in seen.items] == [str(mine)]

    async def test_a_receipt_is_the_rows_of_its_message(
        self, stub: Any, ledger: Ledger, as_identity: As, tenant_id: UUID
    ) -> None:
        for_whom = Attribution(
            purpose="turn",
            message_id=uuid4(),
            conversation_id=uuid4(),
            agent_id=uuid4(),
            visitor_id=uuid4(),
        )
        call_id = await spend(ledger, tenant_id, for_whom, INPUT=1_234, CACHE_READ=999, OUTPUT=56)
        await spend(ledger, tenant_id, Attribution(message_id=uuid4()), INPUT=5)
        with as_identity(tenant_id):
            receipt = await stub.ListUsage(
                pb.ListUsageRequest(message_id=str(for_whom.message_id)), timeout=10
            )
        amounts = {item.kind: (item.amount_nanos, item.saved_nanos) for item in receipt.items}
        # By hand: 1,234 × 2,000 · 999 × 100 (saving 999 × 1,900) · 56 × 10,000 nano-dollars.
        assert amounts == {
            "input_token": (2_468_000, 0),
            "cache_read_token": (99_900, 1_898_100),
            "output_token": (560_000, 0),
        }
        assert receipt.total_nanos == 2_468_000 + 99_900 + 560_000
        item = receipt.items[0]
        assert item.call_id == str(call_id)
        assert (item.provider, item.model) == ("anthropic", "claude-sonnet-5-5")
        assert item.price_nanos_per_million == 2_000_000_000
        assert item.price_book_version == pricing.load().version
        assert item.status == usage_pb2.USAGE_STATUS_SETTLED
        assert item.conversation_id == str(for_whom.conversation_id)
        assert item.agent_id == str(for_whom.agent_id)
        assert item.visitor_id == str(for_whom.visitor_id)

    async def test_pages_hold_each_row_once_and_the_total_of_all(
        self, stub: Any, ledger: Ledger, as_identity: As, tenant_id: UUID
    ) -> None:
        for units in range(1, 8):
            await spend(ledger, tenant_id, INPUT=units)
        seen: list[int] = []
        token = ""
        with as_identity(tenant_id):
            while True:
                page = await stub.ListUsage(
                    pb.ListUsageRequest(page_size=3, page_token=token), timeout=10
                )
                assert page.total_nanos == 28 * 2_000
                seen += [item.units for item in page.items]
                token = page.next_page_token
                if not token:
                    break
        assert seen == [1, 2, 3, 4, 5, 6, 7]

    async def test_times_include_their_start_and_not_their_end(
        self, running: Running, stub: Any, ledger: Ledger, as_identity: As, tenant_id: UUID
    ) -> None:
        await spend(ledger, tenant_id, INPUT=1)
        running.advance(3600)
        await spend(ledger, tenant_id, INPUT=2)
        cut = stamp(datetime.now(UTC) + timedelta(minutes=30))
        with as_identity(tenant_id):
            before = await stub.ListUsage(pb.ListUsageRequest(end_time=cut), timeout=10)
            after = await stub.ListUsage(pb.ListUsageRequest(start_time=cut), timeout=10)
        assert [item.units for item in before.items] == [1]
        assert [item.units for item in after.items] == [2]

    async def test_names_the_field_that_is_wrong(
        self, stub: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        cases = [
            (pb.ListUsageRequest(message_id="x"), "message_id"),
            (pb.ListUsageRequest(conversation_id="1"), "conversation_id"),
            (pb.ListUsageRequest(page_size=1001), "page_size"),
            (pb.ListUsageRequest(page_size=-1), "page_size"),
            (pb.ListUsageRequest(page_token="x"), "page_token"),
            (pb.ListUsageRequest(page_token="MjAyNiB4"), "page_token"),
            (pb.ListUsageRequest(start_time=Timestamp(seconds=2**62)), "start_time"),
            (
                pb.ListUsageRequest(start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=1)),
                "start_time",
            ),
        ]
        for request, field in cases:
            with as_identity(tenant_id), pytest.raises(InvalidArgument) as refused:
                await stub.ListUsage(request, timeout=10)
            assert refused.value.field == field


class TestSummarizeUsage:
    async def test_refuses_strangers(self, running: Running) -> None:
        request = pb.SummarizeUsageRequest(group_by=pb.USAGE_KEY_DAY)
        await assert_refuses_strangers(running, f"{SERVICE}.SummarizeUsage", request)

    async def test_groups_equal_the_rows_to_the_nano(
        self,
        running: Running,
        stub: Any,
        ledger: Ledger,
        as_identity: As,
        tenant_id: UUID,
        other_tenant_id: UUID,
    ) -> None:
        one, two = uuid4(), uuid4()
        agent = uuid4()
        await spend(
            ledger, tenant_id, Attribution("turn", conversation_id=one, agent_id=agent), INPUT=3
        )
        await spend(ledger, tenant_id, Attribution("turn", conversation_id=one), CACHE_READ=7)
        await spend(ledger, tenant_id, Attribution("ingest"), OUTPUT=1)
        running.advance(86_400)
        await spend(
            ledger, tenant_id, Attribution("turn", conversation_id=two, agent_id=agent), INPUT=1
        )
        await spend(ledger, other_tenant_id, Attribution("turn", conversation_id=one), INPUT=99)

        async def by(key: Any, split: Any = 0) -> dict[tuple[str, str], tuple[int, int]]:
            request = pb.SummarizeUsageRequest(group_by=key, split_by=split)
            with as_identity(tenant_id):
                summary = await stub.SummarizeUsage(request, timeout=10)
            assert summary.total_nanos == 6_000 + 700 + 10_000 + 2_000
            assert summary.total_nanos == sum(group.amount_nanos for group in summary.groups)
            return {
                (group.key, group.split_key): (group.amount_nanos, group.saved_nanos)
                for group in summary.groups
            }

        assert await by(pb.USAGE_KEY_CONVERSATION) == {
            ("", ""): (10_000, 0),
            (str(one), ""): (6_700, 13_300),
            (str(two), ""): (2_000, 0),
        }
        assert await by(pb.USAGE_KEY_PURPOSE, pb.USAGE_KEY_AGENT) == {
            ("ingest", ""): (10_000, 0),
            ("turn", str(agent)): (8_000, 0),
            ("turn", ""): (700, 13_300),
        }
        assert await by(pb.USAGE_KEY_MODEL) == {(SONNET, ""): (18_700, 13_300)}
        days = await by(pb.USAGE_KEY_DAY)
        assert list(days) == sorted(days)
        assert list(days.values()) == [(16_700, 13_300), (2_000, 0)]

    async def test_names_the_field_that_is_wrong(
        self, stub: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        day = pb.USAGE_KEY_DAY
        for request, field in (
            (pb.SummarizeUsageRequest(), "group_by"),
            (pb.SummarizeUsageRequest(group_by=day, split_by=day), "split_by"),
        ):
            with as_identity(tenant_id), pytest.raises(InvalidArgument) as refused:
                await stub.SummarizeUsage(request, timeout=10)
            assert refused.value.field == field


class TestListModels:
    async def test_refuses_strangers(self, running: Running) -> None:
        await assert_refuses_strangers(running, f"{SERVICE}.ListModels", pb.ListModelsRequest())

    async def test_lists_what_can_answer_here_with_todays_prices(
        self, stub: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        with as_identity(tenant_id):
            listed = await stub.ListModels(pb.ListModelsRequest(), timeout=10)
        first, *others = listed.models
        assert (first.model, first.is_default, first.unit) == (SONNET, True, "token")
        assert first.input_nanos_per_million == 2_000_000_000
        assert first.output_nanos_per_million == 10_000_000_000
        assert {model.model.split("/")[0] for model in listed.models} == {"anthropic"}
        assert not any(model.is_default for model in others)


def stamp(time: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(time)
    return made
