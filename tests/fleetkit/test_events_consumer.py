import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from fleetdesk.gateway.v1.events_pb2 import TenantCreated
from fleetdesk_local.nats_server import NatsServer
from fleetkit.errors import Unavailable
from fleetkit.events import (
    Consumer,
    EventMeta,
    Together,
    dead_letters,
    event_subject,
    is_latest,
)
from fleetkit.events.consumer import describe
from fleetkit.postgres import FleetConnection, known_tenants
from fleetkit.tasks import end
from harness.services import TestBus
from harness.sides import (
    TENANT_CREATED,
    Side,
    acknowledged,
    announce,
    buried,
    consuming,
    count,
    emit_again,
    emit_twice,
    end_backends,
    labels,
    noted,
    relay,
    running,
    write_note,
)
from prometheus_client import REGISTRY
from structlog.testing import capture_logs


def dead_letter_count() -> float:
    return REGISTRY.get_sample_value("fleetdesk_dead_letters_total", {"service": "billing"}) or 0


class TestConsumer:
    async def test_hands_an_event_from_outbox_to_handler(
        self, producer: Side, consumer: Side, tenant_id: UUID
    ) -> None:
        async with running(relay(producer), consuming(consumer, write_note).run()):
            await announce(producer, tenant_id, "pro")
            await noted(consumer, tenant_id, ["pro"])
        assert await known_tenants(consumer.db) == [tenant_id]

    async def test_knows_whose_event_it_is(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        seen: list[EventMeta] = []

        async def handler(conn: FleetConnection, event: TenantCreated, meta: EventMeta) -> None:
            seen.append(meta)
            await write_note(conn, event, meta)

        event_id = await bus.emit(TenantCreated(revision=7), tenant_id)
        async with running(consuming(consumer, handler).run()):
            await noted(consumer, tenant_id, [""])
        assert (seen[0].event_id, seen[0].revision, seen[0].deliveries) == (event_id, 7, 1)

    async def test_an_event_delivered_again_does_nothing(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        await emit_twice(bus, tenant_id)
        async with running(consuming(consumer, write_note).run()):
            await acknowledged(bus, 2)
        assert await labels(consumer, tenant_id) == ["twice"]

    async def test_without_the_inbox_it_would_be_handled_twice(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        """The check of the check: what the test above tests is the inbox."""
        await bus.emit(TenantCreated(plan_id="twice"), tenant_id)

        async def forgetful(conn: FleetConnection, event: Any, meta: EventMeta) -> None:
            await write_note(conn, event, meta)
            await conn.execute("delete from inbox where event_id = %s", [meta.event_id])

        async with running(consuming(consumer, forgetful).run()):
            await noted(consumer, tenant_id, ["twice"])
            await emit_again(bus)
            await acknowledged(bus, 2)
        assert await labels(consumer, tenant_id) == ["twice", "twice"]

    async def test_two_replicas_handle_an_event_once(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        for number in range(50):
            await bus.emit(TenantCreated(plan_id=str(number)), tenant_id)
        loops = [consuming(consumer, write_note).run() for _ in range(2)]
        async with running(*loops):
            await acknowledged(bus, 50)
        assert sorted(await labels(consumer, tenant_id)) == sorted(map(str, range(50)))

    async def test_events_that_come_together_are_handled_in_one_transaction(
        self, consumer: Side, bus: TestBus, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        for number in range(20):
            await bus.emit(TenantCreated(plan_id=str(number)), tenant_id)
        await bus.emit(TenantCreated(plan_id="other"), other_tenant_id)
        async with running(consuming(consumer, write_note).run()):
            await acknowledged(bus, 21)
        assert await labels(consumer, tenant_id) == [str(number) for number in range(20)]
        assert await labels(consumer, other_tenant_id) == ["other"]
        # Those that come while the first are being handled are handled after them.
        assert await count(consumer, "transaction", tenant_id) < 5

    async def test_a_handler_may_be_given_all_that_came_together(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        given: list[list[str]] = []

        async def handler(
            conn: FleetConnection, events: Sequence[tuple[TenantCreated, EventMeta]]
        ) -> None:
            given.append([event.plan_id for event, _ in events])
            for event, meta in events:
                await write_note(conn, event, meta)

        await emit_twice(bus, tenant_id)
        for number in range(20):
            await bus.emit(TenantCreated(plan_id=str(number)), tenant_id)
        async with running(consuming(consumer, Together(handler)).run()):
            await acknowledged(bus, 22)
        assert len(given) < 5
        wanted = ["twice", *(str(number) for number in range(20))]
        assert [label for labels in given for label in labels] == wanted
        assert await labels(consumer, tenant_id) == wanted

    async def test_an_event_that_fails_among_others_fails_alone(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        async def picky(conn: FleetConnection, event: TenantCreated, meta: EventMeta) -> None:
            await write_note(conn, event, meta)
            if event.plan_id == "7":
                raise ZeroDivisionError

        for number in range(20):
            await bus.emit(TenantCreated(plan_id=str(number)), tenant_id)
        async with running(consuming(consumer, picky, max_deliver=2, redelivery_s=0.01).run()):
            await buried(consumer, tenant_id, 1)
            await acknowledged(bus, 20)
        assert sorted(await labels(consumer, tenant_id)) == sorted(
            str(number) for number in range(20) if number != 7
        )
        [letter] = [each async for each in dead_letters.waiting(consumer.db)]
        assert '"planId": "7"' in letter.body

    async def test_a_handler_that_fails_is_tried_again(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        failures = iter([ZeroDivisionError(), ZeroDivisionError(), None])

        async def flaky(conn: FleetConnection, event: TenantCreated, meta: EventMeta) -> None:
            await write_note(conn, event, meta)
            if (failure := next(failures)) is not None:
                raise failure

        await bus.emit(TenantCreated(plan_id="x"), tenant_id)
        async with running(consuming(consumer, flaky, redelivery_s=0.01).run()):
            await noted(consumer, tenant_id, ["x"])
        assert await count(consumer, "dead_letter", tenant_id) == 0

    async def test_an_event_no_handler_can_take_becomes_a_dead_letter(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        tries: list[int] = []

        async def broken(conn: FleetConnection, event: TenantCreated, meta: EventMeta) -> None:
            tries.append(meta.deliveries)
            raise ZeroDivisionError

        await bus.emit(TenantCreated(plan_id="x"), tenant_id)
        async with running(consuming(consumer, broken, max_deliver=3, redelivery_s=0.01).run()):
            await buried(consumer, tenant_id, 1)
            await acknowledged(bus, 1)
        assert tries == [1, 2, 3]
        assert await count(consumer, "inbox", tenant_id) == 0

    async def test_a_dead_letter_can_be_redriven(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        async def broken(conn: FleetConnection, event: TenantCreated, meta: EventMeta) -> None:
            raise ZeroDivisionError

        # The first event of its tenant: nothing else has told of the tenant.
        event_id = await bus.emit(TenantCreated(plan_id="late"), tenant_id)
        async with running(consuming(consumer, broken, max_deliver=1).run()):
            await buried(consumer, tenant_id, 1)
        [letter] = [each async for each in dead_letters.waiting(consumer.db)]
        assert (letter.event_id, letter.tenant_id) == (event_id, tenant_id)
        assert "late" not in dead_letters.line(letter)
        assert await consuming(consumer, broken).redrive() == (0, 1)
        assert await consuming(consumer, write_note).redrive() == (1, 0)
        assert await labels(consumer, tenant_id) == ["late"]
        assert await count(consumer, "dead_letter", tenant_id) == 0

    async def test_dead_letters_are_listed_over_pages_and_tenants(
        self, consumer: Side, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        for owner, letters in ((tenant_id, 501), (other_tenant_id, 1)):
            for _ in range(letters):
                await dead_letters.keep(
                    consumer.db,
                    tenant_id=owner,
                    event_id=uuid4(),
                    subject="",
                    headers={},
                    body="",
                    deliveries=1,
                    error="",
                )
        found = [letter.tenant_id async for letter in dead_letters.waiting(consumer.db)]
        assert (found.count(tenant_id), found.count(other_tenant_id)) == (501, 1)

    async def test_a_dead_letter_is_an_alert(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        async def broken(conn: FleetConnection, event: TenantCreated, meta: EventMeta) -> None:
            raise ZeroDivisionError("what the visitor wrote")

        before = dead_letter_count()
        event_id = await bus.emit(TenantCreated(plan_id="x"), tenant_id)
        with capture_logs() as lines:
            async with running(consuming(consumer, broken, max_deliver=1).run()):
                await buried(consumer, tenant_id, 1)
                await acknowledged(bus, 1)
        [line] = [line for line in lines if line["event"] == "event_dead_lettered"]
        assert (line["log_level"], line["event_id"]) == ("error", str(event_id))
        assert "visitor" not in str(line)
        assert dead_letter_count() == before + 1

    async def test_older_revisions_are_told_from_newer_ones(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        async def newest(conn: FleetConnection, event: TenantCreated, meta: EventMeta) -> None:
            if await is_latest(conn, meta, event.agent_id):
                await write_note(conn, event, meta)

        for revision, agent in ((2, "a"), (3, "a"), (1, "a"), (1, "b"), (3, "a")):
            event = TenantCreated(revision=revision, agent_id=agent, plan_id=f"{agent}{revision}")
            await bus.emit(event, tenant_id)
        async with running(consuming(consumer, newest, concurrency=1).run()):
            await acknowledged(bus, 5)
        assert await labels(consumer, tenant_id) == ["a2", "a3", "b1", "a3"]

    async def test_a_handler_that_fails_does_not_use_up_a_revision(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        failures = iter([ZeroDivisionError(), None])

        async def flaky(conn: FleetConnection, event: TenantCreated, meta: EventMeta) -> None:
            assert await is_latest(conn, meta, event.agent_id)
            if (failure := next(failures)) is not None:
                raise failure
            await write_note(conn, event, meta)

        await bus.emit(TenantCreated(revision=1, plan_id="x"), tenant_id)
        async with running(consuming(consumer, flaky, redelivery_s=0.01).run()):
            await noted(consumer, tenant_id, ["x"])

    async def test_what_is_no_event_is_a_dead_letter_at_once(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        await bus.emit(TenantCreated(plan_id="x"), tenant_id)
        await bus.js.publish(
            event_subject(TENANT_CREATED, str(tenant_id)),
            b"nonsense\x00\xff",
            headers={"ce-id": str(uuid4()), "ce-type": TENANT_CREATED},
        )
        async with running(consuming(consumer, write_note).run()):
            await noted(consumer, tenant_id, ["x"])
            await buried(consumer, tenant_id, 1)
            await acknowledged(bus, 2)

    async def test_a_dependency_that_is_away_does_not_bury_events(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        tries: list[int] = []

        async def waiting(conn: FleetConnection, event: TenantCreated, meta: EventMeta) -> None:
            tries.append(meta.deliveries)
            if len(tries) < 5:
                raise Unavailable("not yet")
            await write_note(conn, event, meta)

        await bus.emit(TenantCreated(plan_id="x"), tenant_id)
        async with running(consuming(consumer, waiting, max_deliver=2, redelivery_s=0.01).run()):
            await noted(consumer, tenant_id, ["x"])
        assert await count(consumer, "dead_letter", tenant_id) == 0

    async def test_starts_before_its_producer_ever_did(
        self, producer: Side, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        async with running(consuming(consumer, write_note).run()):
            await announce(producer, tenant_id, "x")
            async with running(relay(producer)):
                await noted(consumer, tenant_id, ["x"])

    async def test_survives_a_restart_of_nats(
        self, producer: Side, consumer: Side, nats_server: NatsServer, tenant_id: UUID
    ) -> None:
        async with running(relay(producer), consuming(consumer, write_note).run()):
            await announce(producer, tenant_id, "before")
            await noted(consumer, tenant_id, ["before"])
            await asyncio.to_thread(nats_server.stop)
            await announce(producer, tenant_id, "meanwhile")
            await asyncio.to_thread(nats_server.start)
            await announce(producer, tenant_id, "after")
            await noted(consumer, tenant_id, ["before", "meanwhile", "after"])

    async def test_survives_the_loss_of_database_connections(
        self, producer: Side, consumer: Side, tenant_id: UUID
    ) -> None:
        async with running(relay(producer), consuming(consumer, write_note).run()):
            await announce(producer, tenant_id, "before")
            await noted(consumer, tenant_id, ["before"])
            await end_backends(consumer)
            await announce(producer, tenant_id, "after")
            await noted(consumer, tenant_id, ["before", "after"])

    async def test_has_one_durable_with_exactly_its_subjects(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        await bus.emit(TenantCreated(), tenant_id)
        async with running(consuming(consumer, write_note).run()):
            await noted(consumer, tenant_id, [""])
        (info,) = await bus.js.consumers_info("FLEETDESK_GATEWAY")
        assert info.name == "billing"
        filters = info.config.filter_subjects or [info.config.filter_subject]
        assert filters == ["fleetdesk.gateway.v1.tenant_created.*"]

    async def test_being_stopped_gives_back_what_it_was_handling(
        self, consumer: Side, bus: TestBus, tenant_id: UUID
    ) -> None:
        inside = asyncio.Event()

        async def endless(conn: FleetConnection, event: TenantCreated, meta: EventMeta) -> None:
            await write_note(conn, event, meta)
            inside.set()
            await asyncio.Event().wait()

        await bus.emit(TenantCreated(plan_id="x"), tenant_id)
        async with running(consuming(consumer, endless).run()):
            await inside.wait()
        assert await labels(consumer, tenant_id) == []
        async with running(consuming(consumer, write_note).run()):
            await noted(consumer, tenant_id, ["x"])

    async def test_being_stopped_ends_loops_that_swallow_the_first_cancellation(
        self, consumer: Side
    ) -> None:
        class Deaf(Consumer):
            """As the NATS client is when its answer comes together with the cancellation."""

            async def _consume_forever(self, stream: str, subjects: list[str]) -> None:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    await asyncio.Event().wait()

        deaf = Deaf(consumer.settings, consumer.db, consumer.client, {TENANT_CREATED: write_note})
        task = asyncio.create_task(deaf.run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await end([task])
        assert task.cancelled()

    def test_an_event_that_no_proto_declares_is_refused_at_once(self, consumer: Side) -> None:
        with pytest.raises(KeyError):
            Consumer(
                consumer.settings,
                consumer.db,
                consumer.client,
                {"fleetdesk.gateway.v1.Nothing": write_note},
            )

    def test_an_error_is_described_without_its_text(self) -> None:
        assert describe(ZeroDivisionError("a text")) == "ZeroDivisionError"
        assert describe(Unavailable("a text", reason="AWAY")) == "Unavailable: AWAY"
