import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fleetdesk.gateway.v1.events_pb2 import TenantCreated
from fleetkit.events import publish, replay
from harness.services import TestBus
from harness.sides import (
    TENANT_CREATED,
    Side,
    announce,
    count,
    end_backends,
    relay,
    running,
    stream_messages,
)
from harness.waiting import eventually


class TestRelay:
    async def test_publishes_with_cloud_event_headers(
        self, producer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        event_id = await announce(producer, tenant_id)
        async with running(relay(producer)):
            await self._all_published(producer, tenant_id)
        message = await bus.js.get_msg("FLEETDESK_GATEWAY", 1)
        assert message.subject == f"fleetdesk.gateway.v1.tenant_created.{tenant_id}"
        headers = message.headers or {}
        assert headers["Nats-Msg-Id"] == headers["ce-id"] == str(event_id)
        assert headers["ce-specversion"] == "1.0"
        assert headers["ce-type"] == TENANT_CREATED
        assert headers["ce-source"] == "/fleetdesk/gateway"
        body = json.loads(message.data or b"")
        # Canonical proto JSON: camelCase, 64-bit integers as strings.
        assert body["tenantId"] == str(tenant_id)
        assert body["revision"] == "1"

    async def test_keeps_the_order_of_writing(
        self, producer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        async with producer.db.tenant(tenant_id) as conn:
            for number in range(500):
                await publish(conn, TenantCreated(plan_id=str(number)), revision=number)
        async with running(relay(producer)):
            await self._all_published(producer, tenant_id)
        assert await stream_messages(bus) == 500
        seen = [
            json.loads((await bus.js.get_msg("FLEETDESK_GATEWAY", number)).data or b"")["planId"]
            for number in (1, 2, 200, 201, 500)
        ]
        assert seen == ["0", "1", "199", "200", "499"]

    async def test_a_commit_wakes_it(self, producer: Side, bus: TestBus, tenant_id: UUID) -> None:
        async with running(relay(producer)):
            await announce(producer, tenant_id)
            await self._all_published(producer, tenant_id)
            await announce(producer, tenant_id)
            await self._all_published(producer, tenant_id)

    async def test_a_second_one_waits_its_turn(
        self, producer: Side, opened: Any, bus: TestBus, tenant_id: UUID
    ) -> None:
        second = Side(producer.settings, await opened(producer.settings), producer.client)
        first = asyncio.ensure_future(relay(producer))
        await announce(producer, tenant_id)
        await self._all_published(producer, tenant_id)
        async with running(relay(second)):
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await announce(producer, tenant_id)
            await self._all_published(producer, tenant_id)

    async def test_the_one_that_waits_tells_the_other_of_its_commits(
        self, producer: Side, opened: Any, bus: TestBus, tenant_id: UUID
    ) -> None:
        second = Side(producer.settings, await opened(producer.settings), producer.client)
        async with running(relay(producer, poll_s=3600.0)):
            await announce(producer, tenant_id)
            await self._all_published(producer, tenant_id)
            async with running(relay(second)):
                for _ in range(3):
                    await announce(second, tenant_id)
                    await self._all_published(producer, tenant_id)

    async def test_a_crash_between_publishing_and_marking_does_not_double(
        self, producer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        await announce(producer, tenant_id)
        async with running(relay(producer)):
            await self._all_published(producer, tenant_id)
            # As if the mark had been lost.
            await replay(producer.db, datetime.now(UTC) - timedelta(hours=1))
            await self._all_published(producer, tenant_id)
        assert await stream_messages(bus) == 1

    async def test_survives_the_loss_of_its_connections(
        self, producer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        async with running(relay(producer)):
            await announce(producer, tenant_id)
            await self._all_published(producer, tenant_id)
            await end_backends(producer)
            await announce(producer, tenant_id)
            await self._all_published(producer, tenant_id)

    async def test_makes_the_stream_again_when_it_was_lost(
        self, producer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        async with running(relay(producer)):
            await announce(producer, tenant_id)
            await self._all_published(producer, tenant_id)
            await bus.purge()
            await announce(producer, tenant_id)
            await self._all_published(producer, tenant_id)
        assert await stream_messages(bus) == 1

    async def test_declares_the_stream_with_limits(
        self, producer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        await announce(producer, tenant_id)
        async with running(relay(producer)):
            await self._all_published(producer, tenant_id)
        config = (await bus.js.stream_info("FLEETDESK_GATEWAY")).config
        assert config.subjects == ["fleetdesk.gateway.>"]
        assert config.max_age == 7 * 86400
        assert config.max_bytes == 1 << 30
        assert config.duplicate_window == 120

    async def _all_published(self, side: Side, tenant_id: UUID) -> None:
        async def published() -> bool:
            return await count(side, "unpublished", tenant_id) == 0

        await eventually(published, timeout_s=30)
