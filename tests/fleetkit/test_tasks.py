"""Background tasks: none is lost, none stops unnoticed."""

import asyncio
from typing import Any

import pytest
import structlog
from fleetkit.tasks import Tasks, end


class Failures:
    """Counts what a process would have ended for."""

    def __init__(self) -> None:
        self.count = 0
        self.first = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self.first.set()


@pytest.fixture
async def failures() -> Failures:
    return Failures()


@pytest.fixture
def tasks(failures: Failures) -> Tasks:
    return Tasks(failures)


async def forever() -> None:
    await asyncio.Event().wait()


async def nothing() -> None:
    return


async def fail() -> None:
    raise RuntimeError


class TestRunForever:
    @pytest.mark.parametrize("work", [fail, nothing])
    async def test_any_end_is_a_failure(self, tasks: Tasks, failures: Failures, work: Any) -> None:
        with structlog.testing.capture_logs() as lines:
            tasks.run_forever(work(), "relay")
            async with asyncio.timeout(5):
                await failures.first.wait()
        assert tasks.failed
        assert [(line["event"], line["task"]) for line in lines] == [
            ("background_task_ended", "relay")
        ]

    async def test_a_drain_is_no_failure(self, tasks: Tasks, failures: Failures) -> None:
        tasks.run_forever(forever(), "relay")
        await tasks.drain(0)
        assert not tasks.failed
        assert failures.count == 0


class TestRunOnce:
    async def test_may_end(self, tasks: Tasks, failures: Failures) -> None:
        tasks.run_once(nothing(), "warm_up")
        await tasks.drain(0)
        assert not tasks.failed

    async def test_raising_is_a_failure(self, tasks: Tasks, failures: Failures) -> None:
        tasks.run_once(fail(), "warm_up")
        async with asyncio.timeout(5):
            await failures.first.wait()
        assert tasks.failed


class TestSpawn:
    async def test_raising_is_logged_and_no_more(self, tasks: Tasks, failures: Failures) -> None:
        with structlog.testing.capture_logs() as lines:
            task = tasks.spawn(fail(), "turn")
            await asyncio.wait([task])
            await asyncio.sleep(0)
        assert [line["event"] for line in lines] == ["spawned_task_failed"]
        assert failures.count == 0

    async def test_a_drain_waits_for_it_while_loops_go_on(self, tasks: Tasks) -> None:
        go_on = asyncio.Event()
        done: list[str] = []

        async def turn() -> None:
            await go_on.wait()
            done.append("turn")

        async def relay() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                done.append("relay")

        tasks.run_forever(relay(), "relay")
        tasks.spawn(turn(), "turn")
        draining = asyncio.create_task(tasks.drain(30))
        await asyncio.sleep(0)
        go_on.set()
        await draining
        assert done == ["turn", "relay"]

    async def test_a_drain_does_not_wait_longer_than_its_grace(self, tasks: Tasks) -> None:
        task = tasks.spawn(forever(), "turn")
        async with asyncio.timeout(5):
            await tasks.drain(0.05)
        assert task.cancelled()


class TestEnd:
    async def test_ends_a_task_that_swallows_its_first_cancellation(self):
        swallowed = asyncio.Event()

        async def stubborn() -> None:
            try:
                await forever()
            except asyncio.CancelledError:
                swallowed.set()
            await forever()

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await end([task])
        assert swallowed.is_set()
        assert task.cancelled()

    async def test_ends_what_it_is_ending_also_when_it_is_cancelled_meanwhile(self, monkeypatch):
        monkeypatch.setattr("fleetkit.tasks._CANCEL_AGAIN_S", 0.02)
        swallowed = 0

        async def deaf() -> None:
            nonlocal swallowed
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    swallowed += 1
                    if swallowed > 3:
                        raise

        inner = asyncio.create_task(deaf())

        async def outer() -> None:
            try:
                await asyncio.gather(inner, asyncio.sleep(3600))
            finally:
                await end([inner])

        ending = asyncio.create_task(outer())
        await asyncio.sleep(0)
        await end([ending])
        assert ending.cancelled()
        assert inner.done()
