"""The parsing pool: workers that hang, burst or die hurt nobody but their own document."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fleetkit.tokens import tokenizer_path
from harness.waiting import eventually
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.pool import ParsingPool, PoolSettings
from retrieval.parsing.prepare import PrepareOptions

GOOD = b"# Lamp\n\nA lamp gives light.\n"
LARGE = b"A sentence of some words that is repeated very often. " * 30_000


@pytest.fixture
async def make_pool() -> AsyncIterator[Callable[..., ParsingPool]]:
    pools: list[ParsingPool] = []

    def make(**changes: Any) -> ParsingPool:
        path: Path = tokenizer_path(None)
        pools.append(ParsingPool(PoolSettings(path, **changes)))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()


async def reason(pool: ParsingPool, content: bytes) -> str:
    with pytest.raises(DocumentError) as caught:
        await pool.prepare(content, PrepareOptions())
    return caught.value.reason


def environment_of(process_id: int) -> bytes:
    return Path(f"/proc/{process_id}/environ").read_bytes()


def lives(process_id: int) -> bool:
    return Path(f"/proc/{process_id}").exists()


class TestParsingPool:
    async def test_prepares_a_document_in_another_process(self, make_pool):
        pool = make_pool()
        document = await pool.prepare(GOOD, PrepareOptions())
        assert document.title == "Lamp"
        (chunk,) = document.chunks
        assert document.text[chunk.start : chunk.end] == "A lamp gives light."
        assert chunk.heading_path == ("Lamp",)
        assert chunk.terms["light"] == 1.0
        assert chunk.terms["lamp"] == 3.0

    async def test_uses_a_worker_again_also_after_a_refusal(self, make_pool):
        pool = make_pool(workers=1)
        await pool.prepare(GOOD, PrepareOptions())
        before = pool.process_ids
        assert await reason(pool, b"") == "EMPTY_FILE"
        await pool.prepare(GOOD, PrepareOptions(title="Given"))
        assert pool.process_ids == before

    async def test_stops_a_worker_that_takes_too_long(self, make_pool):
        pool = make_pool(workers=1, total_s=0.3)
        assert await reason(pool, LARGE) == "PARSE_TIMEOUT"
        assert pool.process_ids == []

    async def test_stops_a_worker_without_progress(self, make_pool):
        pool = make_pool(workers=1, stall_s=0.05)
        assert await reason(pool, LARGE) == "PARSE_TIMEOUT"

    async def test_refuses_what_needs_too_much_memory(self, make_pool):
        pool = make_pool(workers=1, memory_bytes=400_000_000, stall_s=90, total_s=90)
        found = await reason(pool, b"<html><body>" + b"<p>word</p>" * 4_000_000)
        assert found in ("PARSE_OUT_OF_MEMORY", "PARSE_CRASHED", "TOO_MUCH_TEXT")
        assert (await pool.prepare(GOOD, PrepareOptions())).title == "Lamp"

    async def test_says_when_a_worker_died_and_goes_on_with_another(self, make_pool):
        pool = make_pool(workers=1)
        await pool.prepare(GOOD, PrepareOptions())
        (process_id,) = pool.process_ids
        work = asyncio.create_task(pool.prepare(LARGE, PrepareOptions()))
        await asyncio.sleep(0)
        os.kill(process_id, signal.SIGKILL)
        with pytest.raises(DocumentError) as caught:
            await work
        assert caught.value.reason == "PARSE_CRASHED"
        assert (await pool.prepare(GOOD, PrepareOptions())).title == "Lamp"

    async def test_ends_the_worker_of_a_cancelled_call(self, make_pool):
        pool = make_pool(workers=1)
        await pool.prepare(GOOD, PrepareOptions())
        work = asyncio.create_task(pool.prepare(LARGE, PrepareOptions()))
        await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert pool.process_ids == []

    async def test_gives_workers_nothing_of_the_environment(self, make_pool):
        pool = make_pool(workers=1)
        await pool.prepare(GOOD, PrepareOptions())
        (process_id,) = pool.process_ids
        environment = environment_of(process_id)
        assert b"LC_ALL=" in environment
        assert b"FLEETDESK" not in environment
        assert b"PATH=" not in environment

    async def test_leaves_no_process_when_closed(self, make_pool):
        pool = make_pool(workers=2)
        await asyncio.gather(*(pool.prepare(GOOD, PrepareOptions()) for _ in range(2)))
        ids = pool.process_ids
        await pool.close()

        async def gone() -> bool:
            return not any(lives(process_id) for process_id in ids)

        assert await eventually(gone)
