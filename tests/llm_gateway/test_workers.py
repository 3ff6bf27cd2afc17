"""The pool of worker processes, with real workers and the real model."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from fleetkit.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from llm_gateway.minilm.artifact import weights_folder
from llm_gateway.workers.child import ChildOptions
from llm_gateway.workers.lanes import Job, Lane, Lanes
from llm_gateway.workers.pool import WorkerPool

PASSAGE = "The blue light blinks while the speaker looks for a phone to pair with. " * 12


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> ChildOptions:
    return ChildOptions(weights_folder(None), tmp_path_factory.mktemp("models"), "int8")


@pytest.fixture
async def pool(options: ChildOptions) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(options, size=1, max_texts=100)
    pool.start()
    await pool.wait_ready()
    yield pool
    await pool.close()


def job(*texts: str, lane: Lane = Lane.BULK, seconds: float = 60) -> Job:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    return Job(list(texts), lane, time.monotonic() + seconds, future)


class TestEmbed:
    async def test_returns_unit_vectors_tokens_and_cpu_time(self, pool: WorkerPool) -> None:
        embedded = await pool.embed(job("Hello", PASSAGE))
        assert [np.linalg.norm(vector) for vector in embedded.vectors] == pytest.approx([1, 1])
        assert embedded.tokens == [1, 12 * 16]
        assert embedded.cpu_us > 1000
        assert embedded.version.startswith("int8-")

    async def test_a_vector_does_not_depend_on_its_neighbours(self, pool: WorkerPool) -> None:
        alone = await pool.embed(job("How do I pair it?", lane=Lane.INTERACTIVE))
        among = await pool.embed(job(PASSAGE, "How do I pair it?", "x"))
        np.testing.assert_array_equal(alone.vectors[0], among.vectors[1])

    async def test_a_long_text_is_done_in_windows(self, pool: WorkerPool) -> None:
        embedded = await pool.embed(job(PASSAGE * 3, "short", PASSAGE * 5))
        assert embedded.tokens == [3 * 192, 1, 5 * 192]
        assert all(vector.shape == (384,) for vector in embedded.vectors)

    async def test_a_query_overtakes_passages(self, pool: WorkerPool) -> None:
        done: list[str] = []

        async def embed(name: str, work: Job) -> None:
            await pool.embed(work)
            done.append(name)

        passages = asyncio.create_task(embed("passages", job(*[PASSAGE] * 64)))
        await asyncio.sleep(0)
        await embed("query", job("How do I pair it?", lane=Lane.INTERACTIVE))
        assert done == ["query"]
        passages.cancel()

    async def test_a_full_lane_refuses_and_says_when_to_come_back(self, pool: WorkerPool) -> None:
        first = asyncio.create_task(pool.embed(job(*[PASSAGE] * 90)))
        await asyncio.sleep(0)
        with pytest.raises(ResourceExhausted) as refused:
            await pool.embed(job(*["x"] * 20))
        assert refused.value.reason == "EMBED_QUEUE_FULL"
        assert (refused.value.retry_after_s or 0) > 0
        await pool.embed(job("a query has a lane of its own", lane=Lane.INTERACTIVE))
        first.cancel()

    async def test_ends_at_the_deadline(self, pool: WorkerPool) -> None:
        late = job(*[PASSAGE] * 64, seconds=0.2)
        with pytest.raises(DeadlineExceeded):
            await pool.embed(late)
        assert late.waiting, "what was not begun is not done"
        assert late.cpu_us < 2_000_000


class TestDeath:
    async def test_kill_in_the_middle_of_a_batch_loses_nothing(self, pool: WorkerPool) -> None:
        expected = await pool.embed(job("one", PASSAGE))
        (pid,) = pool.pids
        work = asyncio.create_task(pool.embed(job(*["one", PASSAGE] * 20)))
        await asyncio.sleep(0.1)
        assert not work.done()
        os.kill(pid, signal.SIGKILL)
        embedded = await work
        np.testing.assert_array_equal(embedded.vectors[8], expected.vectors[0])
        np.testing.assert_array_equal(embedded.vectors[9], expected.vectors[1])
        assert pid not in pool.pids

    async def test_texts_that_kill_twice_fail_and_the_pool_lives(self, pool: WorkerPool) -> None:
        work = asyncio.create_task(pool.embed(job(*[PASSAGE] * 40)))
        for _ in range(2):
            await asyncio.sleep(0.1)
            while not pool.pids:
                await asyncio.sleep(0.01)
            os.kill(pool.pids[0], signal.SIGKILL)
            while pool.pids:
                await asyncio.sleep(0.01)
        with pytest.raises(Unavailable) as failed:
            await work
        assert failed.value.reason == "MODEL_CRASHED"
        assert (await pool.embed(job("still here"))).tokens == [2]

    async def test_a_model_that_does_not_start_fails_fast(self, tmp_path: Path) -> None:
        broken = ChildOptions(tmp_path / "none", tmp_path, "int8")
        pool = WorkerPool(broken, size=1, max_texts=10)
        pool.start()
        with pytest.raises(Unavailable, match="does not start"):
            await pool.wait_ready()
        await pool.close()

    async def test_workers_end_with_their_service(self, options: ChildOptions) -> None:
        pool = WorkerPool(options, size=1, max_texts=10)
        pool.start()
        await pool.wait_ready()
        (pid,) = pool.pids
        await pool.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


class TestLanes:
    async def test_jobs_of_a_lane_take_turns(self) -> None:
        lanes = Lanes()
        first, second = job(*[PASSAGE] * 2), job(*[PASSAGE] * 2)
        lanes.add(first)
        lanes.add(second)
        order = [piece.job for piece in iter(lanes.take, None)]
        assert order == [first, second, first, second]

    async def test_short_texts_share_a_slice(self) -> None:
        lanes = Lanes()
        lanes.add(job(*["short"] * 30))
        piece = lanes.take()
        assert piece is not None
        assert len(piece.pieces) == 30

    async def test_expired_and_abandoned_jobs_are_dropped(self) -> None:
        lanes = Lanes()
        abandoned = job("nobody waits")
        abandoned.finished.cancel()
        lanes.add(job("too late", seconds=-1))
        lanes.add(abandoned)
        assert lanes.take() is None
