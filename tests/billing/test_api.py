"""The RPCs of billing, over a real channel."""

from uuid import UUID

import pytest
from fleetdesk.billing.v1 import billing_service_pb2 as pb
from fleetdesk.billing.v1 import events_pb2, plan_pb2
from fleetdesk.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from fleetkit.errors import InvalidArgument, NotFound
from harness.access import assert_refuses_strangers

SERVICE = "fleetdesk.billing.v1.BillingService"


@pytest.fixture
async def billing(fleet_service):
    return await fleet_service("billing", default_plan="development")


@pytest.fixture
def stub(billing) -> BillingServiceStub:
    return billing.stub(BillingServiceStub, caller="gateway")


class TestStrangers:
    @pytest.mark.parametrize(
        ("rpc", "request_"),
        [
            ("ListPlans", pb.ListPlansRequest()),
            ("EnsureSubscription", pb.EnsureSubscriptionRequest()),
            ("GetSubscription", pb.GetSubscriptionRequest()),
            ("CheckEntitlement", pb.CheckEntitlementRequest(capability=pb.CAPABILITY_TEXT)),
            ("GetUsage", pb.GetUsageRequest()),
        ],
    )
    async def test_are_refused(self, billing, rpc, request_):
        await assert_refuses_strangers(billing, f"{SERVICE}.{rpc}", request_)


class TestListPlans:
    async def test_lists_the_public_plans_without_any_tenant(self, stub, as_background):
        with as_background(None):
            plans = (await stub.ListPlans(pb.ListPlansRequest())).plans
        assert [plan.plan_id for plan in plans] == ["free", "professional", "enterprise"]
        professional = plans[1]
        assert professional.seat_month_nanos == 89_000_000_000
        assert professional.resolution_overage_nanos == 750_000_000
        assert professional.voice_minute_overage_nanos == 15_000_000


class TestEnsureSubscription:
    async def test_subscribes_once(self, billing, stub, as_identity, tenant_id):
        with as_identity(tenant_id, role="owner"):
            first = await stub.EnsureSubscription(pb.EnsureSubscriptionRequest(plan_id="free"))
            again = await stub.EnsureSubscription(
                pb.EnsureSubscriptionRequest(plan_id="enterprise")
            )
        assert first.subscription.plan_id == "free"
        assert first.subscription.status == plan_pb2.SUBSCRIPTION_STATUS_ACTIVE
        assert again.subscription == first.subscription
        assert len(await billing.events(events_pb2.SubscriptionCreated)) == 1

    async def test_starts_on_the_default_plan_when_none_is_named(
        self, stub, as_identity, tenant_id
    ):
        with as_identity(tenant_id, role="owner"):
            made = await stub.EnsureSubscription(pb.EnsureSubscriptionRequest())
        assert made.subscription.plan_id == "development"

    async def test_names_the_plans_there_are(self, billing, stub, as_identity, tenant_id):
        with as_identity(tenant_id, role="owner"), pytest.raises(NotFound) as caught:
            await stub.EnsureSubscription(pb.EnsureSubscriptionRequest(plan_id="gold"))
        assert caught.value.field == "plan_id"
        assert "professional" in caught.value.message
        assert await billing.rows("select * from subscription") == []


class TestGetSubscription:
    async def test_is_of_the_tenant_alone(self, stub, as_identity, tenant_id, other_tenant_id):
        with as_identity(tenant_id, role="owner"):
            await stub.EnsureSubscription(pb.EnsureSubscriptionRequest(plan_id="free"))
            mine = await stub.GetSubscription(pb.GetSubscriptionRequest())
        assert mine.plan.plan_id == "free"
        with as_identity(other_tenant_id, role="owner"), pytest.raises(NotFound):
            await stub.GetSubscription(pb.GetSubscriptionRequest())

    async def test_is_in_its_current_period(self, billing, stub, as_identity, tenant_id):
        with as_identity(tenant_id, role="owner"):
            await stub.EnsureSubscription(pb.EnsureSubscriptionRequest())
            first = (await stub.GetSubscription(pb.GetSubscriptionRequest())).subscription
            billing.advance(days(40))
            second = (await stub.GetSubscription(pb.GetSubscriptionRequest())).subscription
        assert second.period_start_time == first.period_end_time


class TestCheckEntitlement:
    async def _check(self, stub, capability) -> pb.CheckEntitlementResponse:
        return await stub.CheckEntitlement(pb.CheckEntitlementRequest(capability=capability))

    async def test_follows_the_plan(self, stub, as_identity, tenant_id):
        with as_identity(tenant_id, role="owner"):
            await stub.EnsureSubscription(pb.EnsureSubscriptionRequest(plan_id="free"))
            text = await self._check(stub, pb.CAPABILITY_TEXT)
            voice = await self._check(stub, pb.CAPABILITY_VOICE)
        assert text.allowed
        assert not voice.allowed
        assert (voice.reason, voice.plan_id) == ("NOT_IN_PLAN", "free")

    async def test_goes_by_the_default_plan_before_there_is_a_subscription(
        self, stub, as_identity, tenant_id
    ):
        with as_identity(tenant_id):
            made = await self._check(stub, pb.CAPABILITY_VIDEO)
        assert (made.allowed, made.plan_id) == (True, "development")

    async def test_a_canceled_subscription_allows_nothing(
        self, billing, stub, as_identity, tenant_id
    ):
        with as_identity(tenant_id, role="owner"):
            await stub.EnsureSubscription(pb.EnsureSubscriptionRequest(plan_id="professional"))
        await cancel(billing, tenant_id)
        with as_identity(tenant_id):
            made = await self._check(stub, pb.CAPABILITY_TEXT)
        assert (made.allowed, made.reason) == (False, "SUBSCRIPTION_CANCELED")

    async def test_conversation_may_ask_in_the_background(self, billing, as_background, tenant_id):
        stub = billing.stub(BillingServiceStub, caller="conversation")
        with as_background(tenant_id):
            assert (await self._check(stub, pb.CAPABILITY_TEXT)).allowed

    async def test_names_the_field_that_is_missing(self, stub, as_identity, tenant_id):
        with as_identity(tenant_id), pytest.raises(InvalidArgument) as caught:
            await self._check(stub, pb.CAPABILITY_UNSPECIFIED)
        assert caught.value.field == "capability"


def days(number: int) -> float:
    return number * 24 * 3600.0


async def cancel(billing, tenant_id: UUID) -> None:
    async with billing.db.tenant(tenant_id) as conn:
        await conn.execute(
            "update subscription set status = 'canceled' where tenant_id = %s", [tenant_id]
        )
