"""One test run: what all of its worker processes share, and its end."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fleetdesk_local import children
from fleetdesk_local.postgres import PostgresServer
from fleetdesk_local.postgres_cluster import end_orphan, remove_cluster

_VARIABLE = "FLEETDESK_TEST_RUN_DIR"
_PREFIX = "fleetdesk-test-"
_PID = "run.pid"


class Run:
    """A folder that the processes of one run share, and a lock on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._state_file = folder / "state.json"
        self._server: PostgresServer | None = None

    @classmethod
    def begin(cls) -> "Run":
        """Makes the folder; workers started from now on find it in their environment.

        Ends what runs that were killed have left.
        """
        for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_PID}"):
            if left.stat().st_uid == os.getuid() and children.read_pid_file(left) is None:
                cls(left.parent)._remove()
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        children.write_pid_file(folder / _PID, os.getpid())
        # PostgreSQL runs as another user when the tests run as root.
        folder.chmod(0o711)
        os.environ[_VARIABLE] = str(folder)
        return cls(folder)

    @classmethod
    def current(cls) -> "Run":
        return cls(Path(os.environ[_VARIABLE]))

    @contextmanager
    def locked(self) -> Iterator[dict[str, Any]]:
        """The state that all processes share; changes are kept. One process at a time."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = json.loads(self._state_file.read_text()) if self._state_file.exists() else {}
            yield state
            self._state_file.write_text(json.dumps(state))

    def end(self) -> None:
        """Stops the PostgreSQL that any process of the run started, and deletes everything."""
        del os.environ[_VARIABLE]
        if self._server is not None:
            self._server.stop()
        self._remove()

    def _remove(self) -> None:
        if self.postgres_folder.exists():
            end_orphan((self.postgres_folder / "postgres").resolve())
            remove_cluster(self.postgres_folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_postgres(self) -> str:
        """Starts the run's PostgreSQL, to be stopped by `end`; its administrator's URL."""
        self._server = PostgresServer(self.postgres_folder, durable=False)
        self._server.start()
        return self._server.admin_url

    @property
    def postgres_folder(self) -> Path:
        """Where the run's PostgreSQL has its data."""
        return self.folder / "postgres"
