"""Periodic jobs over real schedules; the shortest period that NATS knows is a second."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from fleetdesk_local.roster import SERVICES, package_of
from fleetkit.clock import Clock
from fleetkit.errors import FailedPrecondition
from fleetkit.events import streams
from fleetkit.schedules import Schedules
from harness.services import TestBus
from harness.sides import Side, running
from harness.waiting import eventually
from nats.js.api import Header

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
SCHEDULE = "clock.schedule.billing.count"
TICK = "clock.tick.billing.count"


class Counted:
    """A job that counts its runs, and can be held."""

    def __init__(self, *failures: Exception) -> None:
        self.runs = 0
        self.at_once = 0
        self.most_at_once = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._failures = list(failures)

    async def __call__(self) -> None:
        self.runs += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.go_on.wait()
            if self._failures:
                raise self._failures.pop(0)
        finally:
            self.at_once -= 1

    async def ran(self, times: int = 1) -> None:
        async def enough() -> bool:
            return self.runs >= times

        await eventually(enough, timeout_s=30)


def schedules(
    side: Side, job: Callable[[], Awaitable[None]], every: timedelta = SECOND, name: str = "count"
) -> Schedules:
    made = Schedules(
        side.settings,
        Clock(side.settings.clock_file),
        side.client,
        busy_delay_s=0.1,
        first_retry_s=0.05,
    )
    made.add(name, every, job)
    return made


async def declared(bus: TestBus, subject: str = SCHEDULE) -> dict[str, str]:
    """The headers of a schedule, once it is there."""

    async def there() -> dict[str, str]:
        info = await bus.js.streams_info()
        if streams.CLOCK not in [stream.config.name for stream in info]:
            return {}
        found = await bus.js.stream_info(streams.CLOCK, subject)
        if not found.state.subjects:
            return {}
        return (await bus.js.get_last_msg(streams.CLOCK, subject)).headers or {}

    return await eventually(there)


async def answered(bus: TestBus) -> None:
    """Waits until no tick waits for an answer."""

    async def done() -> bool:
        info = await bus.js.consumer_info(streams.CLOCK, "billing")
        return info.num_ack_pending == 0 and info.num_pending == 0

    await eventually(done, timeout_s=30)


async def tick(bus: TestBus) -> None:
    """What the schedule would do now."""
    await bus.js.publish(TICK)


class TestSchedules:
    async def test_a_job_runs_when_its_period_has_passed(
        self, consumer: Side, bus: TestBus
    ) -> None:
        job = Counted()
        async with running(schedules(consumer, job).run()):
            await job.ran(2)

    async def test_one_of_two_replicas_runs_each_tick(self, consumer: Side, bus: TestBus) -> None:
        job = Counted()
        replicas = [schedules(consumer, job, HOUR).run() for _ in range(2)]
        async with running(*replicas):
            for times in (1, 2, 3):
                await declared(bus)
                await tick(bus)
                await job.ran(times)
                await answered(bus)
        assert job.runs == 3

    async def test_a_tick_while_the_job_runs_waits_for_its_end(
        self, consumer: Side, bus: TestBus
    ) -> None:
        job = Counted()
        job.go_on.clear()
        replicas = [schedules(consumer, job, HOUR).run() for _ in range(2)]
        async with running(*replicas):
            await declared(bus)
            await tick(bus)
            await job.ran(1)
            await tick(bus)
            # Refused and delivered again, since another is at it.
            await self._delivered(bus, 4)
            assert job.runs == 1
            job.go_on.set()
            await job.ran(2)
            await answered(bus)
        assert (job.runs, job.most_at_once) == (2, 1)

    async def test_missed_ticks_are_one_run(self, consumer: Side, bus: TestBus) -> None:
        job = Counted()
        async with running(schedules(consumer, job, HOUR).run()):
            await declared(bus)
        for _ in range(5):
            await tick(bus)
        async with running(schedules(consumer, job, HOUR).run()):
            await job.ran(1)
            await answered(bus)
        assert job.runs == 1

    async def test_a_run_that_was_broken_off_is_run_again(
        self, consumer: Side, bus: TestBus
    ) -> None:
        job = Counted()
        job.go_on.clear()
        async with running(schedules(consumer, job, HOUR).run()):
            await declared(bus)
            await tick(bus)
            await job.ran(1)
        job.go_on.set()
        async with running(schedules(consumer, job, HOUR).run()):
            await job.ran(2)
            await answered(bus)

    async def test_a_run_that_fails_is_tried_again(self, consumer: Side, bus: TestBus) -> None:
        job = Counted(ZeroDivisionError(), ZeroDivisionError())
        async with running(schedules(consumer, job, HOUR).run()):
            await declared(bus)
            await tick(bus)
            await job.ran(3)
            await answered(bus)
        assert job.runs == 3

    async def test_a_run_that_always_fails_is_given_up_until_its_next_tick(
        self, consumer: Side, bus: TestBus
    ) -> None:
        job = Counted(*(ZeroDivisionError() for _ in range(5)))
        async with running(schedules(consumer, job, HOUR).run()):
            await declared(bus)
            await tick(bus)
            await job.ran(5)
            await answered(bus)
            assert job.runs == 5
            await tick(bus)
            await job.ran(6)

    async def test_moving_the_fleet_clock_past_its_period_runs_a_job_once(
        self, consumer: Side, bus: TestBus
    ) -> None:
        daily, job = Counted(), Counted()
        replicas = [schedules(consumer, job, HOUR) for _ in range(2)]
        replicas[0].add("daily", timedelta(days=400), daily)
        async with running(*(replica.run() for replica in replicas)):
            await declared(bus)
            assert consumer.settings.clock_file is not None
            consumer.settings.clock_file.write_text(json.dumps({"offset_s": 24 * 3600}))
            await job.ran(1)
            await answered(bus)
        assert (job.runs, daily.runs) == (1, 0)

    async def test_a_restart_does_not_start_the_period_anew(
        self, consumer: Side, bus: TestBus
    ) -> None:
        sequences = []
        for _ in range(2):
            async with running(schedules(consumer, Counted(), HOUR).run()):
                await declared(bus)
                await self._durable(bus)
            sequences.append((await bus.js.get_last_msg(streams.CLOCK, SCHEDULE)).seq)
        assert sequences[0] == sequences[1]

    async def test_a_changed_period_replaces_the_schedule(
        self, consumer: Side, bus: TestBus
    ) -> None:
        for every, rule in ((HOUR, "@every 3600s"), (2 * HOUR, "@every 7200s")):

            async def has_rule(rule: str = rule) -> bool:
                return (await declared(bus)).get(Header.SCHEDULE) == rule

            async with running(schedules(consumer, Counted(), every).run()):
                await eventually(has_rule)

    async def test_the_schedule_of_a_job_that_is_no_more_goes(
        self, consumer: Side, bus: TestBus
    ) -> None:
        async with running(schedules(consumer, Counted(), HOUR, "old").run()):
            await declared(bus, "clock.schedule.billing.old")

        async def gone() -> bool:
            info = await bus.js.stream_info(streams.CLOCK, "clock.schedule.billing.old")
            return not info.state.subjects

        async with running(schedules(consumer, Counted(), HOUR).run()):
            await declared(bus)
            await eventually(gone)

    async def test_survives_a_bus_that_lost_its_data(self, consumer: Side, bus: TestBus) -> None:
        job = Counted()
        made = schedules(consumer, job, SECOND)
        async with running(made.run()):
            await job.ran(1)
            await bus.purge()
            again = job.runs
            # The subscription ends with its durable.
            await job.ran(again + 1)

    async def test_by_hand_a_job_runs_at_once_and_never_beside_itself(self, consumer: Side) -> None:
        job = Counted()
        made = schedules(consumer, job, HOUR)
        await made.run_by_hand("count")
        job.go_on.clear()
        first = asyncio.create_task(made.run_by_hand("count"))
        await job.ran(2)
        with pytest.raises(FailedPrecondition):
            await made.run_by_hand("count")
        job.go_on.set()
        await first
        assert job.runs == 2

    @pytest.mark.parametrize("name", ["", "Two words", "a.b", "a*", "count"])
    def test_refuses_a_name_that_can_not_be(self, consumer: Side, name: str) -> None:
        made = schedules(consumer, Counted())
        with pytest.raises(ValueError, match="name"):
            made.add(name, SECOND, Counted())

    @pytest.mark.parametrize("every", [timedelta(), timedelta(milliseconds=1500)])
    def test_refuses_a_period_that_can_not_be(self, consumer: Side, every: timedelta) -> None:
        with pytest.raises(ValueError, match="period"):
            schedules(consumer, Counted(), every)

    async def _durable(self, bus: TestBus) -> None:
        async def there() -> Any:
            return await bus.js.consumers_info(streams.CLOCK)

        await eventually(there)

    async def _delivered(self, bus: TestBus, ticks: int) -> None:
        async def there() -> bool:
            info = await bus.js.consumer_info(streams.CLOCK, "billing")
            return info.delivered is not None and info.delivered.consumer_seq >= ticks

        await eventually(there)


class TestRuntime:
    async def test_a_service_runs_its_schedule_and_knows_it_by_hand(
        self, fleet: Any, bus: TestBus
    ) -> None:
        nobody = dict.fromkeys((f"{package_of(name)}_address" for name in SERVICES), "127.0.0.1:1")
        gateway = await fleet.start("gateway", http_bind="127.0.0.1:0", **nobody)
        headers = await declared(bus, "clock.schedule.gateway.tidy")
        assert headers[Header.SCHEDULE] == "@every 3600s"
        await gateway.rt.commands["tidy"]()
