import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fleetkit import context
from fleetkit.clock import Clock
from fleetkit.errors import Unavailable
from fleetkit.jobs import Job, JobRunner, enqueue
from fleetkit.postgres import Database
from harness.sides import running
from harness.waiting import eventually


@pytest.fixture
async def db(settings: Any, opened: Any) -> Database:
    return await opened(await settings())


async def add(db: Database, tenant_id: UUID, subject_id: UUID | None = None, **more: Any) -> UUID:
    async with db.tenant(tenant_id) as conn:
        return await enqueue(conn, tenant_id, "work", subject_id or uuid4(), **more)


async def rows(db: Database) -> list[tuple[str, int, str | None]]:
    """State, attempts and last error of every job."""
    async with db.fleet() as conn:
        found = await conn.execute("select state, attempts, last_error from job order by run_at")
        return await found.fetchall()


async def until_rows(db: Database, expected: list[tuple[str, int, str | None]]) -> None:
    async def there() -> bool:
        return await rows(db) == expected

    await eventually(there, timeout_s=20)


def runner(db: Database, handler: Any, **options: Any) -> JobRunner:
    options = {"backoff_s": 0.01, **options}
    return JobRunner(db, Clock(), {"work": handler}, **options)


class TestEnqueue:
    async def test_is_undone_with_its_transaction(self, db: Database, tenant_id: UUID) -> None:
        with pytest.raises(ZeroDivisionError):
            async with db.tenant(tenant_id) as conn:
                await enqueue(conn, tenant_id, "work", uuid4())
                raise ZeroDivisionError
        assert await rows(db) == []

    async def test_refuses_another_tenant(
        self, db: Database, tenant_id: UUID, other_tenant_id: UUID
    ) -> None:
        with pytest.raises(ValueError, match="tenant"):
            async with db.tenant(tenant_id) as conn:
                await enqueue(conn, other_tenant_id, "work", uuid4())

    async def test_one_is_enough_while_one_is_queued(self, db: Database, tenant_id: UUID) -> None:
        subject_id = uuid4()
        first = await add(db, tenant_id, subject_id, payload={"a": 1})
        assert await add(db, tenant_id, subject_id, payload={"a": 2}) == first
        seen: list[Job] = []

        async def handler(job: Job) -> None:
            seen.append(job)

        async with running(runner(db, handler).run()):
            await until_rows(db, [])
        assert [job.payload for job in seen] == [{"a": 2}]

    async def test_a_later_one_does_not_delay_the_one_that_is_queued(
        self, db: Database, tenant_id: UUID
    ) -> None:
        subject_id = uuid4()
        await add(db, tenant_id, subject_id)
        await add(db, tenant_id, subject_id, run_at=Clock().now() + timedelta(days=1))
        async with running(runner(db, nothing).run()):
            await until_rows(db, [])


async def nothing(job: Job) -> None:
    """Does nothing, well."""


class TestJobRunner:
    async def test_runs_a_job_once_as_background_work_of_its_tenant(
        self, db: Database, tenant_id: UUID
    ) -> None:
        seen: list[Any] = []

        async def handler(job: Job) -> None:
            seen.append((context.tenant_id(), context.current().identity, job.attempts))

        async with running(runner(db, handler).run()):
            await add(db, tenant_id)
            await until(lambda: seen)
            await until_rows(db, [])
        assert seen == [(tenant_id, None, 1)]

    async def test_a_commit_wakes_it(self, db: Database, tenant_id: UUID) -> None:
        async with running(runner(db, nothing).run()):
            for _ in range(3):
                await add(db, tenant_id)
                await until_rows(db, [])

    async def test_does_not_run_a_job_before_its_time_on_the_fleet_clock(
        self, db: Database, tenant_id: UUID
    ) -> None:
        class Moving(Clock):
            ahead = timedelta(0)

            def now(self) -> Any:
                return super().now() + self.ahead

        clock = Moving()
        await add(db, tenant_id, run_at=clock.now() + timedelta(hours=1))
        made = JobRunner(db, clock, {"work": nothing})
        async with running(made.run()):
            await add(db, tenant_id)
            await until_rows(db, [("queued", 0, None)])
            clock.ahead = timedelta(hours=2)
            made.wake()
            await until_rows(db, [])

    async def test_tries_again_after_a_failure(self, db: Database, tenant_id: UUID) -> None:
        failures = iter([Unavailable("not yet"), ZeroDivisionError("a text"), None])
        seen: list[int] = []

        async def flaky(job: Job) -> None:
            seen.append(job.attempts)
            if (failure := next(failures)) is not None:
                raise failure

        await add(db, tenant_id)
        async with running(runner(db, flaky).run()):
            await until(lambda: len(seen) == 3)
            await until_rows(db, [])
        assert seen == [1, 2, 3]

    async def test_gives_up_in_the_end_and_says_why_without_text(
        self, db: Database, tenant_id: UUID
    ) -> None:
        dead: list[tuple[Job, Exception]] = []

        async def broken(job: Job) -> None:
            raise ZeroDivisionError("a text of a visitor")

        async def on_dead(job: Job, error: Exception) -> None:
            dead.append((job, error))

        await add(db, tenant_id)
        async with running(runner(db, broken, max_attempts=3, on_dead=on_dead).run()):
            await until_rows(db, [("dead", 3, "ZeroDivisionError")])
        assert [job.attempts for job, _ in dead] == [3]

    async def test_keeps_the_message_of_our_own_errors(self, db: Database, tenant_id: UUID) -> None:
        async def broken(job: Job) -> None:
            raise Unavailable("retrieval does not answer")

        await add(db, tenant_id)
        async with running(runner(db, broken, max_attempts=1).run()):
            await until_rows(db, [("dead", 1, "Unavailable: retrieval does not answer")])

    async def test_runs_no_more_than_so_many_at_once(self, db: Database, tenant_id: UUID) -> None:
        at_once: list[int] = []
        now = 0

        async def handler(job: Job) -> None:
            nonlocal now
            now += 1
            at_once.append(now)
            await asyncio.sleep(0.01)
            now -= 1

        for _ in range(20):
            await add(db, tenant_id)
        async with running(runner(db, handler, concurrency=3).run()):
            await until_rows(db, [])
        assert len(at_once) == 20
        assert max(at_once) == 3

    async def test_takes_turns_among_tenants(self, db: Database) -> None:
        crowd, single = uuid4(), uuid4()
        for _ in range(8):
            await add(db, crowd)
        await add(db, single)
        order: list[UUID] = []

        async def handler(job: Job) -> None:
            order.append(job.tenant_id)

        async with running(runner(db, handler, concurrency=2).run()):
            await until_rows(db, [])
        assert set(order[:2]) == {crowd, single}
        assert len(order) == 9

    async def test_two_runners_share_the_jobs(self, db: Database, tenant_id: UUID) -> None:
        seen: list[UUID] = []

        async def handler(job: Job) -> None:
            seen.append(job.subject_id)

        subjects = [uuid4() for _ in range(40)]
        for subject_id in subjects:
            await add(db, tenant_id, subject_id)
        async with running(*(runner(db, handler).run() for _ in range(2))):
            await until_rows(db, [])
        assert sorted(seen) == sorted(subjects)

    async def test_never_runs_two_of_one_subject_at_once(
        self, db: Database, tenant_id: UUID
    ) -> None:
        subject_id, first = uuid4(), asyncio.Event()
        release, log = asyncio.Event(), []

        async def handler(job: Job) -> None:
            log.append("begin")
            first.set()
            await release.wait()
            log.append("end")

        # Busy with the first, so that what follows is the second runner's to claim.
        made = runner(db, handler, concurrency=1)
        async with running(made.run()):
            await add(db, tenant_id, subject_id)
            await first.wait()
            await add(db, tenant_id, subject_id)
            other: list[UUID] = []

            async def second(job: Job) -> None:
                other.append(job.subject_id)

            async with running(runner(db, second).run()):
                another = uuid4()
                await add(db, uuid4(), another)
                await until(lambda: other)
            assert other == [another]
            release.set()
            await until(lambda: len(log) == 4)
        assert log == ["begin", "end", "begin", "end"]

    async def test_takes_over_what_a_killed_process_had(
        self, db: Database, tenant_id: UUID
    ) -> None:
        await add(db, tenant_id)
        async with db.fleet() as conn:
            # As kill -9 leaves it: claimed, and nobody extends the lease.
            await conn.execute(
                "update job set state = 'running', attempts = 1, lease_id = gen_random_uuid(),"
                " lease_until = now() - interval '1 second'"
            )
        seen: list[int] = []

        async def handler(job: Job) -> None:
            seen.append(job.attempts)

        async with running(runner(db, handler).run()):
            await until_rows(db, [])
        assert seen == [2]

    async def test_leaves_alone_what_another_still_holds(
        self, db: Database, tenant_id: UUID
    ) -> None:
        held, release = asyncio.Event(), asyncio.Event()

        async def slow(job: Job) -> None:
            held.set()
            await release.wait()

        stolen: list[Job] = []

        async def thief(job: Job) -> None:
            stolen.append(job)

        await add(db, tenant_id)
        # Longer than three leases: the heartbeat extends it.
        async with running(runner(db, slow, lease_s=0.3).run()):
            await held.wait()
            async with running(runner(db, thief).run()):
                await asyncio.sleep(1.0)
            release.set()
            await until_rows(db, [])
        assert stolen == []

    async def test_gives_up_on_a_job_that_kills_its_process_each_time(
        self, db: Database, tenant_id: UUID
    ) -> None:
        await add(db, tenant_id)
        async with db.fleet() as conn:
            await conn.execute(
                "update job set state = 'running', attempts = 8, lease_id = gen_random_uuid(),"
                " lease_until = now() - interval '1 second'"
            )
        async with running(runner(db, nothing, max_attempts=8).run()):
            await until_rows(db, [("dead", 9, "RuntimeError")])

    async def test_being_stopped_hands_back_what_it_had_claimed(
        self, db: Database, tenant_id: UUID
    ) -> None:
        inside = asyncio.Event()

        async def endless(job: Job) -> None:
            inside.set()
            await asyncio.Event().wait()

        await add(db, tenant_id)
        async with running(runner(db, endless).run()):
            await inside.wait()
        assert await rows(db) == [("queued", 0, None)]

    async def test_a_failed_job_gives_way_to_one_queued_meanwhile(
        self, db: Database, tenant_id: UUID
    ) -> None:
        subject_id, log = uuid4(), []

        async def handler(job: Job) -> None:
            log.append(job.payload)
            if not job.payload:
                await add(db, tenant_id, subject_id, payload={"newer": 1})
                raise Unavailable("not yet")

        await add(db, tenant_id, subject_id)
        async with running(runner(db, handler).run()):
            await until(lambda: len(log) == 2)
            await until_rows(db, [])
        assert log == [{}, {"newer": 1}]

    async def test_leaves_kinds_that_it_does_not_know(self, db: Database, tenant_id: UUID) -> None:
        async with db.tenant(tenant_id) as conn:
            await enqueue(conn, tenant_id, "of another program", uuid4())
        await add(db, tenant_id)
        async with running(runner(db, nothing).run()):
            await until_rows(db, [("queued", 0, None)])


async def until(check: Any) -> None:
    async def there() -> bool:
        return bool(check())

    await eventually(there, timeout_s=20)
