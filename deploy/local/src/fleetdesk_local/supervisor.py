"""Starts programs, watches them and starts them again when they die: circus, used as a library.

circus calls a program that dies at once “active”, so whoever starts one asks `alive` and its own
readiness check. Its control sockets stay inside this process.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import circus
from circus.exc import ConflictError
from circus.watcher import Watcher
from tornado.ioloop import IOLoop

from fleetdesk_local import children
from fleetdesk_local.programs import Program

_CHECK_DELAY_S = 0.3
_LOG_LIMIT_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class Death:
    """A program that ended by itself; `exit_code` is minus the signal when one killed it."""

    program: Program
    pid: int
    exit_code: int

    def sentence(self) -> str:
        """Which died and why, for a person."""
        if self.exit_code < 0:
            how = f"was killed by {signal.Signals(-self.exit_code).name}"
        else:
            how = f"ended with exit code {self.exit_code}"
        return f"{self.program.name} {how}; its last words: {self.program.last_line()}"


class Supervisor:
    """Keeps programs running; `on_death` is called with each that ends by itself.

    Pid files are kept in `run_dir`, so that the next run can end what a killed one left.
    """

    def __init__(self, run_dir: Path, on_death: Callable[[Death], None]) -> None:
        self._run_dir = run_dir
        self._on_death = on_death
        self._programs: dict[str, Program] = {}
        self._order: list[str] = []
        self._stopping: set[str] = set()
        self._arbiter: Any = None

    async def open(self) -> None:
        """Start circus in the running event loop. It takes over the signal handlers."""
        # We say in a sentence what circus logs in a traceback or two.
        logging.getLogger("circus").setLevel(logging.CRITICAL)
        logging.getLogger("tornado.application").addFilter(_is_no_conflict)
        self._arbiter = circus.get_arbiter(
            [],
            controller=f"inproc://control-{id(self)}",
            pubsub_endpoint=f"inproc://events-{id(self)}",
            multicast_endpoint="",
            loop=IOLoop.current(),
            check_delay=_CHECK_DELAY_S,
        )
        await self._arbiter.start()

    async def start(self, program: Program) -> None:
        """Start a program; it is started again whenever it ends, until `stop`."""
        self._programs[program.name] = program
        self._order.append(program.name)
        program.log_file.parent.mkdir(parents=True, exist_ok=True)
        _rotate(program.log_file)
        watcher: Watcher = await self._when_free(
            lambda: self._arbiter.add_watcher(program.name, **self._options(program))
        )
        await self._when_free(watcher.start)

    async def restart(self, name: str) -> None:
        """Stop a program and start it again."""
        await self.stop([name])
        watcher = self._arbiter.get_watcher(name)
        await self._when_free(watcher.start)

    async def stop(self, names: list[str]) -> None:
        """Stop programs, all at once, and wait until they have ended."""
        self._stopping.update(names)
        try:
            watchers = [self._arbiter.get_watcher(name) for name in names]
            # One command for all: circus runs its public ones one after the other.
            await self._when_free(
                lambda: self._arbiter.stop_watchers(watcher_iter_func=lambda **_: watchers)
            )
            for name in names:
                children.pid_file(self._run_dir, name).unlink(missing_ok=True)
        finally:
            self._stopping.difference_update(names)

    async def close(self) -> None:
        """Stop what still runs, last started first, and circus."""
        for name in reversed(self._order):
            await self.stop([name])
        await self._when_free(self._arbiter.stop)

    def knows(self, name: str) -> bool:
        """Whether the program was ever started here."""
        return name in self._programs

    def pid(self, name: str) -> int | None:
        """Pid of a program that runs now."""
        watcher = self._arbiter.get_watcher(name)
        return next(iter(watcher.get_active_pids()), None)

    def _options(self, program: Program) -> dict[str, Any]:
        return {
            **_command(program),
            "working_dir": str(program.working_dir),
            "env": dict(program.environment),
            "uid": program.user,
            "gid": program.group,
            "stop_signal": program.stop_signal,
            "graceful_timeout": program.stop_patience_s,
            "autostart": True,
            "hooks": {
                "after_spawn": (self._remember, True),
                "after_reap": (self._report, True),
            },
        }

    def _remember(self, watcher: Watcher, pid: int, **_: object) -> bool:
        children.write_pid_file(children.pid_file(self._run_dir, watcher.name), pid)
        return True

    def _report(self, watcher: Watcher, process_pid: int, exit_code: int, **_: object) -> bool:
        # What it had started itself must not outlive it.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process_pid, signal.SIGKILL)
        if watcher.name not in self._stopping:
            self._on_death(Death(self._programs[watcher.name], process_pid, exit_code or 0))
        return True

    async def _when_free(self, command: Callable[[], Any]) -> Any:
        """Run a command of circus, which refuses one while it runs another."""
        while True:
            try:
                result = command()
                return await result if isinstance(result, asyncio.Future) else result
            except ConflictError:
                await asyncio.sleep(0.02)


def _command(program: Program) -> dict[str, Any]:
    """Command and output of a program, for circus.

    A shell opens the log file and becomes the program, so that its output does not depend on us.
    One that runs as another user may not write there: circus passes its output on.
    """
    if program.user is not None:
        stream = {"filename": str(program.log_file), "max_bytes": _LOG_LIMIT_BYTES}
        output = {"class": "FileStream", "backup_count": 1, **stream}
        return {
            "cmd": program.argv[0],
            "args": list(program.argv[1:]),
            "stdout_stream": dict(output),
            "stderr_stream": dict(output),
        }
    script = 'log=$1; shift; exec "$@" >>"$log" 2>&1'
    return {
        "cmd": "/bin/sh",
        "args": ["-c", script, "sh", str(program.log_file), *program.argv],
    }


def _is_no_conflict(record: logging.LogRecord) -> bool:
    """Leave out that a periodic check of circus met a command: the next check comes soon."""
    return not (record.exc_info and isinstance(record.exc_info[1], ConflictError))


def _rotate(log_file: Path) -> None:
    if log_file.exists() and log_file.stat().st_size > _LOG_LIMIT_BYTES:
        log_file.replace(log_file.with_name(f"{log_file.name}.1"))
