"""The folder that holds all that a fleet keeps, and the lock that lets one runner have it."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fleetdesk_local.errors import LocalError
from fleetdesk_local.postgres_cluster import remove_cluster


@dataclass(frozen=True, slots=True)
class RunState:
    """How the current or last `up` is doing; `message` is for people, empty while starting."""

    phase: Literal["starting", "up", "failed", "stopped"]
    message: str = ""
    runner_pid: int = 0


@dataclass(frozen=True, slots=True)
class DataDir:
    """Where things are in the folder; `path` is absolute."""

    path: Path

    def create(self) -> None:
        """Make the folder when missing: passable, not listable, for other users."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o711)
        except OSError as error:
            raise LocalError(
                f"The data folder {self.path} can't be made ({error.strerror}): choose another "
                "with FLEETDESK_DATA_DIR."
            ) from None
        if not os.access(self.path, os.W_OK):
            raise LocalError(
                f"The data folder {self.path} belongs to another user: run as that user, or "
                "choose another with FLEETDESK_DATA_DIR."
            )
        # The folder itself must let PostgreSQL's user pass; these are ours alone.
        for private in (self.keys, self.logs, self.run, self.blobs):
            private.mkdir(exist_ok=True, mode=0o700)

    @property
    def keys(self) -> Path:
        """Ed25519 keys of the services."""
        return self.path / "keys"

    @property
    def logs(self) -> Path:
        """`<process>.log` of each process."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """Pid and port files of running processes."""
        return self.path / "run"

    @property
    def runner_file(self) -> Path:
        """Pid file of `up` itself: not in `run`, which it clears of what was left there."""
        return self.path / "runner.pid"

    @property
    def blobs(self) -> Path:
        """Uploaded originals."""
        return self.path / "blobs"

    @property
    def demo_file(self) -> Path:
        """The demo tenant's login and key, mode 0600."""
        return self.path / "demo.json"

    @property
    def clock_file(self) -> Path:
        """Offset of the fleet clock."""
        return self.path / "clock.json"

    @property
    def ports_file(self) -> Path:
        """Ports of the processes."""
        return self.path / "ports.json"

    @property
    def role_passwords_file(self) -> Path:
        """Passwords of the database roles, mode 0600."""
        return self.path / "role-passwords.json"

    def write_state(self, state: RunState) -> None:
        """Say how `up` is doing."""
        content = {"phase": state.phase, "message": state.message, "runner_pid": os.getpid()}
        write_private(self.path / "state.json", json.dumps(content))

    def read_state(self) -> RunState:
        """What the last `up` said; `stopped` when there was none."""
        try:
            content = json.loads((self.path / "state.json").read_text())
            return RunState(content["phase"], content["message"], content["runner_pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return RunState("stopped")

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Hold the folder while a fleet runs; yields False when another runner holds it.

        The system lets go of the lock when its holder dies, however it dies.
        """
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def remove(self) -> None:
        """Delete everything in the folder; the fleet must be down."""
        remove_cluster(self.path)
        shutil.rmtree(self.path, ignore_errors=not self.path.exists())


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    scratch = path.with_name(f"{path.name}.new")
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600)
    scratch.write_text(text)
    scratch.replace(path)
