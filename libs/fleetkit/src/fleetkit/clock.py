"""The fleet clock: real time plus an offset that a local fleet may move forward.

Everything that waits for business reasons (quiet windows, trials, retention) reads this clock.
Token lifetimes and RPC deadlines are about real time and do not.
"""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fleetkit.config import FleetSettings

_POLL_S = 0.25


class Clock:
    """Real time plus `offset_s` from a JSON file `{"offset_s": n}` (n ≥ 0), reread when it changes.

    Without a file, or while the file does not exist, it is the real clock.
    """

    def __init__(self, clock_file: Path | None = None) -> None:
        self._file = clock_file
        self._offset_s = 0.0
        self._seen: tuple[int, int] | None = None

    @classmethod
    def from_settings(cls, settings: FleetSettings) -> "Clock":
        """The clock of a process; settings refuse a clock file in production."""
        return cls(settings.clock_file)

    def now(self) -> datetime:
        """The current time, aware, UTC."""
        return datetime.now(UTC) + timedelta(seconds=self._offset())

    def monotonic(self) -> float:
        """Seconds that only grow; jumps forward when the clock is advanced."""
        return time.monotonic() + self._offset()

    async def sleep(self, seconds: float) -> None:
        """Waits until the fleet clock is `seconds` further; wakes early when it is advanced."""
        until = self.monotonic() + seconds
        while (left := until - self.monotonic()) > 0:
            await asyncio.sleep(left if self._file is None else min(left, _POLL_S))

    @property
    def can_be_advanced(self) -> bool:
        """Whether somebody may move it forward: it has a file."""
        return self._file is not None

    @property
    def offset(self) -> timedelta:
        """How far it is ahead of real time."""
        return timedelta(seconds=self._offset())

    async def advanced(self, beyond: timedelta) -> timedelta:
        """Waits until it is further ahead than `beyond`, and returns how far it is."""
        while (offset := self.offset) <= beyond:
            await asyncio.sleep(_POLL_S)
        return offset

    def _offset(self) -> float:
        if self._file is None:
            return 0.0
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return self._offset_s
        version = (stat.st_mtime_ns, stat.st_ino)
        if version != self._seen:
            self._offset_s = max(self._offset_s, _read_offset(self._file, self._offset_s))
            self._seen = version
        return self._offset_s


def _read_offset(path: Path, last: float) -> float:
    try:
        return float(json.loads(path.read_text())["offset_s"])
    except (ValueError, KeyError, TypeError):
        # Half-written by a plain editor: time keeps its last offset until the file is whole.
        return last
