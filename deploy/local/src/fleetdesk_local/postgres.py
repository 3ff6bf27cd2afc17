"""PostgreSQL from its wheel: one private server on 127.0.0.1 for one data directory."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg

from fleetdesk_local import ports
from fleetdesk_local.account import Account
from fleetdesk_local.errors import LocalError
from fleetdesk_local.foreground import Foreground
from fleetdesk_local.postgres_cluster import SUPERUSER, end_orphan, ensure_cluster, password_file
from fleetdesk_local.postgres_wheel import reachable_binaries
from fleetdesk_local.programs import Program

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
    it has ended. Under a supervisor, `prepare` gives the program instead. `port` 0 takes a free
    one, the same again while it stays free. `durable=False` is for tests: a crash of the machine
    may lose data.
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
        self._durable = durable
        self._settings = dict(_SETTINGS) | ({} if durable else dict(_SCRATCH_SETTINGS))
        self._log_file = log_file or self.data_dir / "logs" / "postgres.log"
        self._process: Foreground | None = None

    @property
    def admin_url(self) -> str:
        """URL of the superuser on the database `postgres`; once prepared."""
        password = password_file(self.data_dir).read_text().strip()
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.port}/postgres"

    @property
    def running(self) -> bool:
        """Whether `start` was called and the server has not ended."""
        return self._process is not None and self._process.running

    def prepare(self) -> Program:
        """Make the cluster when there is none, end a left-over server, choose the port.

        Raises LocalError with what to do.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
        end_orphan((self.data_dir / "postgres").resolve())
        self._choose_port()
        account = Account.current()
        binaries = reachable_binaries(account)
        cluster = ensure_cluster(self.data_dir, binaries, account, durable=self._durable)
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        return Program(
            name="postgres",
            argv=(str(binaries / "postgres"), "-D", str(cluster), "-p", str(self.port), *options),
            log_file=self._log_file,
            environment={"PATH": os.defpath, "LC_ALL": "C"},
            user=account.run_as.get("user"),
            group=account.run_as.get("group"),
            # On SIGTERM it would wait for its clients.
            stop_signal=signal.SIGINT,
            stop_patience_s=30.0,
        )

    def start(self) -> None:
        """Start the server and wait until it accepts connections; raises LocalError."""
        program = self.prepare()
        self._process = Foreground(program)
        self._process.start()
        self.wait_until_ready(program, lambda: self.running)

    def stop(self) -> None:
        """Stop the server, ending its connections; does nothing when it does not run."""
        if self._process is not None:
            self._process.stop()

    def wait_until_ready(self, program: Program, alive: Callable[[], bool]) -> None:
        """Block until the server accepts connections; LocalError when it ends or takes too long."""
        until = time.monotonic() + _START_PATIENCE_S
        while time.monotonic() < until:
            if not alive():
                raise LocalError(f"PostgreSQL ended at once: {program.last_line()}")
            try:
                psycopg.connect(self.admin_url, connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.03)
            else:
                return
        raise LocalError(
            f"PostgreSQL did not answer in {_START_PATIENCE_S:.0f} s: see {program.log_file}."
        )

    def _choose_port(self) -> None:
        if self.port == 0:
            stored = ports.assign(self.data_dir / "postgres.port.json", ["postgres"])
            self.port = stored["postgres"]
        elif not ports.is_free(self.port):
            raise LocalError(
                f"Port {self.port} for PostgreSQL is taken: stop what listens there, or leave the "
                "port out to take a free one."
            )
