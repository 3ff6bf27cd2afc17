"""Analytics, and how tests tell it what happened."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from fleetdesk.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from google.protobuf.message import Message
from harness.services import Running, TestBus
from harness.waiting import eventually


@pytest.fixture
async def analytics(fleet_service: Callable[..., Any], bus: TestBus) -> Running:
    return await fleet_service("analytics")


@pytest.fixture
def stub(analytics: Running) -> Any:
    return analytics.stub(AnalyticsServiceStub, caller="gateway")


@pytest.fixture
def tell(analytics: Running, bus: TestBus, tenant_id: UUID) -> Callable[..., Awaitable[None]]:
    """`await tell(*events)` puts events on the bus, and waits until each was handled.

    Those that the stream has go on it once more.
    """

    async def tell(*events: Message, tenant: UUID = tenant_id) -> None:
        ids = [await bus.emit(event, tenant, late=True) for event in events]

        async def handled() -> bool:
            rows = await analytics.rows("select event_id from inbox where event_id = any(%s)", ids)
            return len(rows) == len(set(ids))

        await eventually(handled, timeout_s=30)

    return tell
