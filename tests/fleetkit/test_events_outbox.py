import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fleetdesk.gateway.v1.events_pb2 import TenantCreated
from fleetkit.errors import InvalidArgument
from fleetkit.events import event_subject, outbox, publish, replay, streams, upkeep
from fleetkit.events.envelope import parse
from fleetkit.ids import new_id
from harness.probe.settings import ProducerSettings
from harness.sides import TENANT_CREATED, Side, announce, count, running
from harness.waiting import eventually


class TestSubject:
    def test_is_package_snake_case_name_and_tenant(self) -> None:
        assert event_subject(TENANT_CREATED, "t") == "fleetdesk.gateway.v1.tenant_created.t"


class TestPublish:
    async def test_fills_in_id_time_tenant_and_revision(
        self, producer: Side, tenant_id: UUID
    ) -> None:
        async with producer.db.tenant(tenant_id) as conn:
            event = TenantCreated(plan_id="free")
            event_id = await publish(conn, event, revision=3)
        assert event.event_id == str(event_id)
        assert event.tenant_id == str(tenant_id)
        assert event.revision == 3
        age = datetime.now(UTC) - event.occur_time.ToDatetime(tzinfo=UTC)
        assert abs(age) < timedelta(minutes=1)

    async def test_takes_the_time_of_the_fleet_clock(
        self, settings: Any, opened: Any, tenant_id: UUID
    ) -> None:
        made = await settings(ProducerSettings)
        made.clock_file.write_text(json.dumps({"offset_s": 86400}))
        db = await opened(made)
        async with db.tenant(tenant_id) as conn:
            event = TenantCreated()
            await publish(conn, event, revision=1)
        ahead = event.occur_time.ToDatetime(tzinfo=UTC) - datetime.now(UTC)
        assert timedelta(hours=23) < ahead < timedelta(hours=25)

    async def test_keeps_what_is_given(self, producer: Side, tenant_id: UUID) -> None:
        event = TenantCreated(event_id=str(new_id()))
        given = datetime(2026, 1, 2, tzinfo=UTC)
        event.occur_time.FromDatetime(given)
        async with producer.db.tenant(tenant_id) as conn:
            assert str(await publish(conn, event, revision=1)) == event.event_id
        assert event.occur_time.ToDatetime() == given.replace(tzinfo=None)

    async def test_refuses_another_tenant(
        self, producer: Side, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        with pytest.raises(ValueError, match="tenant"):
            async with producer.db.tenant(tenant_id) as conn:
                await publish(conn, TenantCreated(tenant_id=str(other_tenant_id)), revision=1)

    async def test_refuses_a_transaction_without_a_tenant(self, producer: Side) -> None:
        with pytest.raises(ValueError, match="tenant"):
            async with producer.db.fleet() as conn:
                await publish(conn, TenantCreated(), revision=1)

    async def test_is_undone_with_its_transaction(self, producer: Side, tenant_id: UUID) -> None:
        with pytest.raises(ZeroDivisionError):
            async with producer.db.tenant(tenant_id) as conn:
                await publish(conn, TenantCreated(), revision=1)
                raise ZeroDivisionError
        assert await count(producer, "unpublished", tenant_id) == 0


class TestReplay:
    async def test_marks_what_is_young_enough(self, producer: Side, tenant_id: UUID) -> None:
        await announce(producer, tenant_id)
        async with producer.db.fleet() as conn:
            await conn.execute("update outbox set publish_time = now()")
        assert await replay(producer.db, datetime.now(UTC) + timedelta(hours=1)) == 0
        assert await replay(producer.db, datetime.now(UTC) - timedelta(hours=1)) == 1
        assert await count(producer, "unpublished", tenant_id) == 1

    async def test_leaves_out_what_consumers_may_have_forgotten(
        self, producer: Side, tenant_id: UUID
    ) -> None:
        """An old day stays while something of it is unpublished."""
        async with producer.db.fleet() as conn:
            for days in (29, 31):
                at = datetime.now(UTC) - timedelta(days=days)
                await conn.execute(
                    "insert into outbox (event_id, tenant_id, subject, type, headers, body,"
                    " revision, create_time, publish_time)"
                    " values (%s, %s, '', '', '{}', '', 1, %s, %s)",
                    [uuid4(), tenant_id, at, at],
                )
        assert await replay(producer.db, datetime.now(UTC) - timedelta(days=90)) == 1


class TestOutboxUpkeep:
    async def test_drops_old_days_that_are_published(self, producer: Side, tenant_id: UUID) -> None:
        old, new = datetime.now(UTC) - timedelta(days=40), datetime.now(UTC)
        await self._write(producer, tenant_id, old, published=True)
        await self._write(producer, tenant_id, new, published=True)
        assert await self._keep_up(producer) == 1
        assert await self._times(producer) == [new]

    async def test_keeps_old_days_with_something_unpublished(
        self, producer: Side, tenant_id: UUID
    ) -> None:
        old = datetime.now(UTC) - timedelta(days=40)
        await self._write(producer, tenant_id, old, published=False)
        assert await self._keep_up(producer) == 0
        assert await self._times(producer) == [old]

    async def test_a_day_without_a_partition_is_no_obstacle(
        self, producer: Side, tenant_id: UUID
    ) -> None:
        far = datetime.now(UTC) + timedelta(days=100)
        await self._write(producer, tenant_id, far, published=False)
        await self._keep_up(producer)
        await self._keep_up(producer)
        assert await self._times(producer) == [far]

    async def test_forgets_receipts_only_when_nothing_can_bring_the_event_again(
        self, consumer: Side, tenant_id: UUID
    ) -> None:
        async with consumer.db.fleet() as conn:
            for days in (1, upkeep.INBOX_DAYS - 1, upkeep.INBOX_DAYS + 1):
                await conn.execute(
                    "insert into inbox values (%s, %s, '', now() - make_interval(days => %s))",
                    [uuid4(), tenant_id, days],
                )
        await upkeep.keep_up(consumer.db)
        assert await count(consumer, "inbox", tenant_id) == 2

    def test_receipts_outlive_a_late_replay_in_the_stream(self) -> None:
        last_in_outbox_days = outbox.KEEP_DAYS + 1
        assert last_in_outbox_days + streams.MAX_AGE_DAYS < upkeep.INBOX_DAYS

    async def test_runs_without_a_bus(self, producer: Side, tenant_id: UUID) -> None:
        await self._write(
            producer, tenant_id, datetime.now(UTC) - timedelta(days=40), published=True
        )
        await producer.client.close()
        async with running(upkeep.keep_up_forever(producer.db, "gateway")):

            async def tidied() -> bool:
                return await self._times(producer) == []

            await eventually(tidied)

    async def test_who_reads_meanwhile_is_no_deadlock(
        self, producer: Side, tenant_id: UUID
    ) -> None:
        at = datetime.now(UTC) - timedelta(days=40)
        await self._write(producer, tenant_id, at, published=True)
        async with producer.db.fleet() as conn:
            # As a reader has it that has come as far as the table, and not to its partitions.
            await conn.execute("lock table only outbox in access share mode")
            keeping = asyncio.create_task(upkeep.keep_up(producer.db))

            async def waits() -> bool:
                rows = await conn.execute(
                    "select from pg_locks where not granted and relation = 'outbox'::regclass"
                )
                return bool(await rows.fetchall())

            await eventually(waits)
            rows = await conn.execute("select create_time from outbox")
            assert await rows.fetchall() == [(at,)]
        await keeping
        assert await self._times(producer) == []

    async def _write(self, side: Side, tenant_id: UUID, at: datetime, *, published: bool) -> None:
        async with side.db.fleet() as conn:
            await conn.execute(
                "insert into outbox (event_id, tenant_id, subject, type, headers, body, revision,"
                " create_time, publish_time) values (%s, %s, '', '', '{}', '', 1, %s, %s)",
                [uuid4(), tenant_id, at, at if published else None],
            )

    async def _keep_up(self, side: Side) -> int:
        async with side.db.fleet() as conn:
            await conn.execute("select fleetkit_outbox_extend(3)")
            row = await (await conn.execute("select fleetkit_outbox_expire(30)")).fetchone()
            return row[0] if row else -1

    async def _times(self, side: Side) -> list[datetime]:
        async with side.db.fleet() as conn:
            rows = await conn.execute("select create_time from outbox order by id")
            return [row[0] for row in await rows.fetchall()]


class TestParse:
    BODY: dict[str, Any]

    def _headers(self, event_id: UUID) -> dict[str, str]:
        return {"ce-id": str(event_id), "ce-type": TENANT_CREATED}

    def _body(self, event_id: UUID, tenant_id: UUID, **more: Any) -> bytes:
        fields = {"eventId": str(event_id), "tenantId": str(tenant_id)}
        return json.dumps(fields | {"occurTime": "2026-01-02T00:00:00Z"} | more).encode()

    def _parse(self, event_id: UUID, tenant_id: UUID, body: bytes) -> Any:
        subject = event_subject(TENANT_CREATED, str(tenant_id))
        return parse(subject=subject, headers=self._headers(event_id), body=body, deliveries=1)

    def test_ignores_fields_that_it_does_not_know(self, tenant_id: UUID) -> None:
        event_id = uuid4()
        body = self._body(event_id, tenant_id, planId="free", later={"x": [1]})
        event, meta = self._parse(event_id, tenant_id, body)
        assert event.plan_id == "free"
        assert meta.tenant_id == tenant_id
        assert meta.revision == 0

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"eventId": 1}'])
    def test_refuses_what_is_no_event(self, tenant_id: UUID, body: bytes) -> None:
        with pytest.raises(InvalidArgument):
            self._parse(uuid4(), tenant_id, body)

    def test_refuses_an_event_of_another_tenant_than_its_subject(
        self, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        event_id = uuid4()
        with pytest.raises(InvalidArgument):
            self._parse(event_id, tenant_id, self._body(event_id, other_tenant_id))

    def test_refuses_an_event_of_another_id_than_its_headers(self, tenant_id: UUID) -> None:
        with pytest.raises(InvalidArgument):
            self._parse(uuid4(), tenant_id, self._body(uuid4(), tenant_id))
