"""Child processes that outlive a crash of the runner: pid files, and ending what they name.

A pid file holds the pid and the start time of the process, so that a pid that the system has
given to another process since is never signalled.
"""

import json
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_START_TOLERANCE_S = 0.05


def write_pid_file(path: Path, pid: int) -> None:
    """Remember a running process in `path`. A process that has ended already is not written."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.new")
    scratch.write_text(json.dumps({"pid": pid, "start_time": started}))
    scratch.replace(path)


def read_pid_file(path: Path) -> psutil.Process | None:
    """The process that the file names, or None when it has ended or the file is no use."""
    try:
        content = json.loads(path.read_text())
        process = psutil.Process(content["pid"])
        same = abs(process.create_time() - content["start_time"]) < _START_TOLERANCE_S
        alive = process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return process if same and alive else None


def end(process: psutil.Process, signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn and give it its seconds, until the process is gone."""
    for number, patience_s in signals:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return
        if _gone(process, patience_s):
            return


def _gone(process: psutil.Process, patience_s: float) -> bool:
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        try:
            if process.status() == psutil.STATUS_ZOMBIE and process.ppid() != psutil.Process().pid:
                return True
            process.wait(timeout=0.05)
        except psutil.TimeoutExpired:
            continue
        except psutil.NoSuchProcess:
            return True
        return True
    return False


def pid_file(run_dir: Path, name: str) -> Path:
    """Where the pid of a program is kept."""
    return run_dir / f"{name}.pid"


def end_orphans(run_dir: Path) -> list[str]:
    """End what an earlier, killed run left running; returns their names."""
    left = [(path, read_pid_file(path)) for path in sorted(run_dir.glob("*.pid"))]
    running = [(path, process) for path, process in left if process is not None]
    for _, process in running:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for path, process in running:
        end(process, ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)))
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        path.unlink(missing_ok=True)
    return [path.stem for path, _ in running]
