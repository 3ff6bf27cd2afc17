"""What billing does with events."""

from uuid import uuid4

from fleetdesk.gateway.v1 import events_pb2 as gateway_events
from harness.waiting import eventually


class TestTenantCreated:
    async def test_subscribes_a_tenant_whose_sign_up_was_cut_short(
        self, fleet_service, bus, tenant_id
    ):
        billing = await fleet_service("billing")
        event = gateway_events.TenantCreated(agent_id=str(uuid4()), plan_id="development")
        await bus.emit(event, tenant_id)

        async def subscribed() -> bool:
            rows = await billing.rows("select tenant_id, plan_id from subscription")
            return rows == [{"tenant_id": tenant_id, "plan_id": "development"}]

        await eventually(subscribed)
