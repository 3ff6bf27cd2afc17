"""The fleet clock."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fleetkit.clock import Clock


@pytest.fixture
def clock_file(tmp_path: Path) -> Path:
    return tmp_path / "clock.json"


def advance(path: Path, offset_s: float) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"offset_s": offset_s}))
    partial.replace(path)


class TestClock:
    def test_without_a_file_is_real_time(self) -> None:
        assert abs(Clock().now() - datetime.now(UTC)) < timedelta(seconds=1)

    def test_a_file_that_is_not_there_yet_is_real_time(self, clock_file: Path) -> None:
        assert abs(Clock(clock_file).now() - datetime.now(UTC)) < timedelta(seconds=1)

    def test_follows_the_file(self, clock_file: Path) -> None:
        clock = Clock(clock_file)
        before = clock.monotonic()
        advance(clock_file, 3600)
        assert abs(clock.now() - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=1)
        assert clock.monotonic() - before >= 3600
        advance(clock_file, 7200)
        assert clock.monotonic() - before >= 7200

    def test_never_goes_back(self, clock_file: Path) -> None:
        clock = Clock(clock_file)
        advance(clock_file, 3600)
        before = clock.monotonic()
        for text in (
            '{"offset_s": 5}',
            '{"offset_s": -1e9}',
            "{",
            "{}",
            "null",
            '{"offset_s": []}',
        ):
            clock_file.write_text(text)
            assert clock.monotonic() >= before
        clock_file.unlink()
        assert clock.monotonic() >= before

    async def test_sleep_ends_when_the_clock_is_advanced(self, clock_file: Path) -> None:
        clock = Clock(clock_file)
        sleeping = asyncio.create_task(clock.sleep(24 * 3600))
        await asyncio.sleep(0)
        assert not sleeping.done()
        advance(clock_file, 24 * 3600)
        async with asyncio.timeout(5):
            await sleeping

    async def test_sleep_takes_its_time(self) -> None:
        started = time.monotonic()
        await Clock().sleep(0.05)
        assert time.monotonic() - started >= 0.05
