"""A fleet in processes of its own, as `make up` starts it, in a data folder of its own."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from fleetdesk_local import children, ports, readiness
from fleetdesk_local.data_dir import DataDir
from fleetdesk_local.demo import Demo
from fleetdesk_local.roster import SERVICES
from fleetdesk_local.services import port_file

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


@dataclass(frozen=True)
class LocalFleet:
    """A running fleet: its address, its demo tenant, its data folder."""

    demo: Demo
    data: DataDir
    seconds_to_ready: float

    @property
    def url(self) -> str:
        """Where its pages and API are."""
        return self.demo.url

    @property
    def port(self) -> int:
        """Where it listens for HTTP."""
        return httpx.URL(self.url).port or 80

    def client(self) -> httpx.AsyncClient:
        """An HTTP client with the demo tenant's key; close it."""
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.demo.api_key}"},
            timeout=30.0,
            trust_env=False,
        )

    def process(self, name: str) -> psutil.Process:
        """The process of a service, or of `postgres` or `nats`; AssertionError when none runs."""
        process = children.read_pid_file(children.pid_file(self.data.run, name))
        assert process is not None, f"{name} does not run"
        return process

    def kill(self, name: str) -> None:
        """`kill -9`; its ports are forgotten, so that `wait_until_back` sees the next ones."""
        if name in SERVICES:
            port_file(self.data, name).unlink()
        self.process(name).send_signal(signal.SIGKILL)

    async def wait_until_back(self, name: str) -> None:
        """Wait until a killed service serves again; LocalError when it does not come back."""
        log = self.data.logs / f"{name}.log"
        await readiness.wait_for_service(name, port_file(self.data, name), log, PATIENCE_S)


def make(
    command: str, data_dir: Path, http_port: int, *, given: str | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run `make <command>` for the fleet in `data_dir`, with `given` on its standard input."""
    environment = {
        **os.environ,
        "FLEETDESK_DATA_DIR": str(data_dir),
        "FLEETDESK_HTTP_PORT": str(http_port),
        **settings,
    }
    return subprocess.run(
        ["make", "--no-print-directory", *command.split()],
        cwd=ROOT,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def local_fleet(data_dir: Path, *, keep: bool = False, **settings: str) -> Iterator[LocalFleet]:
    """A fleet brought up by `make up DETACH=1`; its data is deleted at the end, or kept.

    `settings`: more of its environment.
    """
    [http_port] = ports.free_ports(1)
    began = time.monotonic()
    up = make("up DETACH=1", data_dir, http_port, **settings)
    seconds = time.monotonic() - began
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        demo = Demo(**json.loads((data_dir / "demo.json").read_text()))
        yield LocalFleet(demo, DataDir(data_dir), seconds)
    finally:
        down = make("down" if keep else "reset", data_dir, http_port, **settings)
        assert down.returncode == 0, down.stdout + down.stderr
