"""One worker process, seen from the service."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any

from llm_gateway.minilm.windows import Window
from llm_gateway.workers import frames
from llm_gateway.workers.child import ChildOptions
from llm_gateway.workers.frames import Piece

# The first start converts the model; later ones take about half a second.
_START_TIMEOUT_S = 120.0
# A slice takes tens of milliseconds; a worker that is silent for this long hangs.
_ANSWER_TIMEOUT_S = 60.0


class WorkerDied(Exception):
    """The process ended, hung, or answered what it should not; `exit_code` if it ended."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(f"worker died, exit code {exit_code}")
        self.exit_code = exit_code


class WorkerProcess:
    """A running worker; one slice at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.version = ""

    @classmethod
    async def start(cls, options: ChildOptions) -> "WorkerProcess":
        """Starts a worker and waits until its model is loaded; WorkerDied when that fails."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "llm_gateway.workers.child",
            options.dumps(),
            stdin=PIPE,
            stdout=PIPE,
            # Frames of 64 texts of 32 kB; the reader's limit only tunes its flow control.
            limit=4 * 1024 * 1024,
        )
        worker = cls(process)
        try:
            head, _ = await worker._receive(_START_TIMEOUT_S)
        except BaseException:
            await worker.stop()
            raise
        worker.version = head["version"]
        return worker

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def run(self, pieces: list[Piece]) -> tuple[list[Window], int]:
        """The windows of `pieces` and the CPU nanoseconds they took; WorkerDied."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - it was opened as a pipe
        try:
            rows = [[piece.text, piece.window, piece.keep] for piece in pieces]
            stdin.write(frames.pack({"pieces": rows}))
            await stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise WorkerDied(self._process.returncode) from error
        head, tail = await self._receive(_ANSWER_TIMEOUT_S)
        return frames.unpack_windows(head, tail), head["cpu_ns"]

    async def _receive(self, timeout_s: float) -> tuple[dict[str, Any], bytes]:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - it was opened as a pipe
        try:
            async with asyncio.timeout(timeout_s):
                prefix = await stdout.readexactly(frames.PREFIX_BYTES)
                head, tail = frames.lengths(prefix)
                return json.loads(await stdout.readexactly(head)), await stdout.readexactly(tail)
        except (asyncio.IncompleteReadError, TimeoutError) as error:
            raise WorkerDied(self._process.returncode) from error

    async def stop(self) -> None:
        """Ends the process at once (it holds nothing that matters) and waits for its end."""
        if self._process.returncode is None:
            try:
                self._process.kill()
            except ProcessLookupError:
                pass  # It ended by itself a moment ago.
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
