"""PostgreSQL from its wheel: one private server on 127.0.0.1 for one data directory."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

from fleetdesk_local import ports
from fleetdesk_local.account import Account
from fleetdesk_local.errors import LocalError
from fleetdesk_local.postgres_cluster import (
    STOP_SIGNALS,
    SUPERUSER,
    end_orphan,
    ensure_cluster,
    password_file,
)
from fleetdesk_local.postgres_wheel import reachable_binaries

_START_PATIENCE_S = 60.0
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "192MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_SCRATCH_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class PostgresServer:
    """A PostgreSQL server whose cluster belongs to `data_dir`.

    `start` makes the cluster when there is none and blocks until it answers; `stop` blocks until
    it has ended. `port` 0 takes a free one, the same again while it stays free. `durable=False`
    is for tests: a crash of the machine may lose data.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        durable: bool = True,
        log_file: Path | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self._settings = dict(_SETTINGS) | ({} if durable else dict(_SCRATCH_SETTINGS))
        self._log_file = log_file or self.data_dir / "logs" / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def admin_url(self) -> str:
        """URL of the superuser on the database `postgres`; after start only."""
        password = password_file(self.data_dir).read_text().strip()
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.port}/postgres"

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Pid of the server while it runs."""
        return self._process.pid if self._process and self.running else None

    def start(self) -> None:
        """Start the server and wait until it accepts connections; raises LocalError."""
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
        account = Account.current()
        binaries = reachable_binaries(account)
        cluster = ensure_cluster(self.data_dir, binaries, account)
        end_orphan(cluster)
        self._choose_port()
        self._process = self._launch(binaries / "postgres", cluster, account)
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop the server, ending its connections; does nothing when it does not run."""
        if self._process is None:
            return
        for number, patience_s in STOP_SIGNALS:
            if self._process.poll() is not None:
                break
            self._process.send_signal(number)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
        self._process = None

    def _choose_port(self) -> None:
        if self.port == 0:
            stored = ports.assign(self.data_dir / "postgres.port.json", ["postgres"])
            self.port = stored["postgres"]
        elif not ports.is_free(self.port):
            raise LocalError(
                f"Port {self.port} for PostgreSQL is taken: stop what listens there, or leave the "
                "port out to take a free one."
            )

    def _launch(self, executable: Path, cluster: Path, account: Account) -> subprocess.Popen[bytes]:
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as log:
            return subprocess.Popen(
                [str(executable), "-D", str(cluster), "-p", str(self.port), *options],
                **account.run_as,
                cwd="/",
                # The server's own messages only: nothing of the caller's environment matters.
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C in the terminal must reach the runner only: services stop first.
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _START_PATIENCE_S
        while time.monotonic() < until:
            if not self.running:
                raise LocalError(f"PostgreSQL ended at once: {self._last_line()}")
            try:
                psycopg.connect(self.admin_url, connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.03)
            else:
                return
        self.stop()
        raise LocalError(
            f"PostgreSQL did not answer in {_START_PATIENCE_S:.0f} s: see {self._log_file}."
        )

    def _last_line(self) -> str:
        lines = self._log_file.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
