"""What tenants decide about models: their own prices."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm_pb
from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetdesk.llm_gateway.v1.model_settings_service_pb2_grpc import ModelSettingsServiceStub
from fleetkit.errors import InvalidArgument, NotFound
from harness.access import assert_refuses_strangers
from harness.answers import ROUTER, ask, asking, passage
from harness.services import Running
from llm_gateway.health import Health

As = Callable[..., Any]
SERVICE = "fleetdesk.llm_gateway.v1.ModelSettingsService"
LOCAL = "local/extractive"
HAIKU = "anthropic/claude-haiku-5-5"


@pytest.fixture
def settings(running: Running) -> Any:
    return running.stub(ModelSettingsServiceStub, caller="gateway")


@pytest.fixture
def admin(as_identity: As, tenant_id: UUID) -> Any:
    return lambda tenant=tenant_id: as_identity(tenant, role="admin")


def compute(nanos: int, above: int = 0) -> pb.PriceTier:
    return pb.PriceTier(above_prompt_tokens=above, prices={"compute_us": nanos})


async def price_of(settings: Any, model: str) -> pb.ModelPrice:
    found = await settings.ListPrices(pb.ListPricesRequest())
    return next(price for price in found.prices if price.model == model)


class TestPrices:
    async def test_strangers_neither_read_nor_set_them(self, running: Running) -> None:
        await assert_refuses_strangers(running, f"{SERVICE}.ListPrices", pb.ListPricesRequest())
        await assert_refuses_strangers(running, f"{SERVICE}.SetPrices", pb.SetPricesRequest())
        await assert_refuses_strangers(running, f"{SERVICE}.ClearPrices", pb.ClearPricesRequest())

    async def test_an_own_price_holds_from_then_on_and_for_its_tenant_alone(
        self,
        running: Running,
        stub: Any,
        settings: Any,
        admin: Any,
        as_background: As,
        tenant_id: UUID,
    ) -> None:
        question = asking("How many LAN ports?", passage(ROUTER))
        other = uuid4()
        with as_background(tenant_id):
            await ask(stub, question)
        gateway = running.stub(LlmGatewayServiceStub, caller="gateway")
        estimate = llm_pb.EstimateAnswerRequest(model=LOCAL)
        with admin():
            by_the_book = await gateway.EstimateAnswer(estimate)
            made = await settings.SetPrices(
                pb.SetPricesRequest(model=LOCAL, tiers=[compute(70_000)])
            )
            dearer = await gateway.EstimateAnswer(estimate)
            assert dearer.most_nanos == 7 * by_the_book.most_nanos > 0
            assert made.price == await price_of(settings, LOCAL)
            # The last one counts.
            await settings.SetPrices(pb.SetPricesRequest(model=LOCAL, tiers=[compute(50_000)]))
        assert (made.price.is_own, made.price.is_configured) == (True, True)
        assert made.price.book_tiers[0].prices["compute_us"] == 10_000
        for tenant in (tenant_id, other):
            with as_background(tenant):
                await ask(stub, question)
        with admin(other):
            assert not (await price_of(settings, LOCAL)).is_own
        with admin():
            await settings.ClearPrices(pb.ClearPricesRequest(model=LOCAL))
            await settings.ClearPrices(pb.ClearPricesRequest(model=LOCAL))
            assert not (await price_of(settings, LOCAL)).is_own
        with as_background(tenant_id):
            await ask(stub, question)
        rows = await running.rows("select * from usage_entry order by usage_id")
        book = rows[0]["price_book_version"]
        assert [
            (row["tenant_id"], row["price_nanos_per_million"], row["price_book_version"])
            for row in rows
        ] == [
            (tenant_id, 10_000, book),
            (tenant_id, 50_000, f"{book}+own-2"),
            (other, 10_000, book),
            (tenant_id, 10_000, book),
        ]
        assert rows[1]["amount_nanos"] == round(rows[1]["units"] * 50_000 / 10**6)

    async def test_prices_that_are_not_whole_are_refused(self, settings: Any, admin: Any) -> None:
        wrong: list[tuple[str, list[pb.PriceTier], str]] = [
            (LOCAL, [], "tiers"),
            (LOCAL, [compute(1)] * 9, "tiers"),
            (LOCAL, [compute(1, above=5)], "tiers"),
            (LOCAL, [compute(1), compute(2)], "tiers"),
            (LOCAL, [compute(1), compute(2, above=-1)], "tiers"),
            (LOCAL, [compute(0)], "tiers[0].prices"),
            (LOCAL, [compute(10**15 + 1)], "tiers[0].prices"),
            (LOCAL, [pb.PriceTier(prices={"input_token": 1})], "tiers[0].prices"),
            (HAIKU, [pb.PriceTier(prices={"input_token": 1})], "tiers[0].prices"),
        ]
        for model, tiers, field in wrong:
            with admin(), pytest.raises(InvalidArgument) as refused:
                await settings.SetPrices(pb.SetPricesRequest(model=model, tiers=tiers))
            assert refused.value.field == field

    async def test_a_model_that_the_book_does_not_have_is_not_found(
        self, settings: Any, admin: Any
    ) -> None:
        with admin(), pytest.raises(NotFound):
            await settings.SetPrices(pb.SetPricesRequest(model="a/b", tiers=[compute(1)]))
        with admin(), pytest.raises(NotFound):
            await settings.ClearPrices(pb.ClearPricesRequest(model="a/b"))

    async def test_models_are_listed_with_own_prices_too(
        self, stub: Any, settings: Any, admin: Any, as_identity: As, tenant_id: UUID
    ) -> None:
        with admin():
            await settings.SetPrices(pb.SetPricesRequest(model=LOCAL, tiers=[compute(70_000)]))
            listed = await stub.ListModels(llm_pb.ListModelsRequest())
        (local,) = (one for one in listed.models if one.model == LOCAL)
        assert local.input_nanos_per_million == 70_000


class TestHealth:
    async def test_of_the_models_that_were_called(
        self, running: Running, stub: Any, settings: Any, admin: Any
    ) -> None:
        request = pb.ListModelHealthRequest()
        await assert_refuses_strangers(running, f"{SERVICE}.ListModelHealth", request)
        with admin():
            assert list((await settings.ListModelHealth(request)).models) == []
            await ask(stub, asking("How many LAN ports?", passage(ROUTER)))
            health = {one.model: one for one in (await settings.ListModelHealth(request)).models}
        local = health[LOCAL]
        assert (local.calls, local.failures, local.last_reason) == (1, 0, "")
        assert local.circuit == llm_pb.CIRCUIT_STATE_CLOSED
        assert local.HasField("last_success_time")
        assert not local.HasField("last_failure_time")

    def test_counts_failures_and_tells_how_long_half_and_nearly_all_take(self) -> None:
        health = Health()
        for milliseconds in range(1, 1001):
            health.note("a/b", milliseconds / 1000, "")
        health.note("a/b", 9.0, "PROVIDER_OVERLOADED")
        health.note("a/a", 0.5, "PROVIDER_FAILED")
        first, second = health.models()
        assert (first.model, first.calls, first.failures, first.p50_ms) == ("a/a", 1, 1, 0)
        assert first.last_success_time is None
        assert (second.calls, second.failures, second.last_reason) == (
            1001,
            1,
            "PROVIDER_OVERLOADED",
        )
        # Of the latest 256, 745 to 1,000 ms.
        assert (second.p50_ms, second.p95_ms) == (872, 988)
