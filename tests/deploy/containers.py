"""Runs services' images as the manifests say, on this machine's network and own servers."""

import asyncio
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from fleetdesk_local import ports
from fleetdesk_local.cluster import secrets
from fleetdesk_local.nats_server import NatsServer
from fleetdesk_local.postgres import PostgresServer
from fleetdesk_local.roster import SERVICES, package_of
from harness.manifests import Manifest, environment, pods, rendered

from .visiting import listening

OVERLAY = "overlays/local"
_USER = 65532
_READY_PATIENCE_S = 120.0
_STOP_PATIENCE_S = 60
# What a cluster's "restricted" pods have, and the limits that this kind of machine needs.
_CONFINED = (
    *("--runtime", "runc", "--network", "host", "--read-only", "--cap-drop", "all"),
    *("--security-opt", "no-new-privileges", "--user", f"{_USER}:{_USER}"),
    *("--tmpfs", "/tmp:rw,size=256m,mode=1777"),
    *("--ulimit", "nofile=1024:4096", "--ulimit", "nproc=4096:8192"),
)


@dataclass(frozen=True, slots=True)
class Drain:
    """How a container came and went."""

    service: str
    ready_s: float
    memory_mb: float
    seconds: float
    exit_code: int


@dataclass
class Place:
    """Servers, secrets and ports that the containers share."""

    folder: Path
    postgres: PostgresServer
    nats: NatsServer
    made: list[Manifest]
    ports: Mapping[str, int] = field(
        default_factory=lambda: dict(
            zip(
                [
                    f"{service}.{kind}"
                    for service in SERVICES
                    for kind in ("grpc", "metrics", "http")
                ],
                ports.free_ports(3 * len(SERVICES)),
                strict=True,
            )
        )
    )

    def variables(self, container: Manifest) -> dict[str, str]:
        """A container's environment in the overlay, with this machine's addresses."""
        service = container["name"]
        found = environment(container, [*rendered(OVERLAY), *self.made])
        for name in ("FLEETDESK_POSTGRES_URL", "FLEETDESK_POSTGRES_OWNER_URL", "POSTGRES_SERVER"):
            if name in found:
                found[name] = self.at_home(found[name])
        for callee in SERVICES:
            port = self.ports[f"{callee}.grpc"]
            found[f"FLEETDESK_{package_of(callee).upper()}_ADDRESS"] = f"127.0.0.1:{port}"
        for kind in ("grpc", "metrics", "http"):
            port = self.ports.get(f"{service}.{kind}", 0)
            found[f"FLEETDESK_{kind.upper()}_BIND"] = f"127.0.0.1:{port}"
        return found | {"FLEETDESK_NATS_URL": self.nats.url}

    def at_home(self, url: str) -> str:
        home = f"127.0.0.1:{self.postgres.port}"
        return url.replace("fleetdesk-postgres-rw:5432", home).partition("?")[0]


def run_all(services: Sequence[str], tag: str) -> list[Drain]:
    """Migrates, starts the services together, and ends them one after the other, gateway first.

    When all are there, a visitor asks, and listens while the gateway ends.
    """
    with _place() as place, ExitStack() as stack:
        _migrate(place, services, tag)
        began = time.monotonic()
        for service in services:
            _start(place, service, tag)
            stack.callback(_remove, service)
        ready = {service: _wait_ready(place, service) - began for service in services}
        memory = {service: _memory_mb(service) for service in services}
        stops = {
            service: partial(_stop, service, ready[service], memory[service])
            for service in services
        }
        drains: list[Drain] = []
        if set(services) == set(SERVICES):
            drains.append(asyncio.run(_ask_and_stop(place, stops.pop("gateway"))))
        return [*drains, *(stop() for stop in stops.values())]


async def _ask_and_stop(place: Place, stop_gateway: Callable[[], Drain]) -> Drain:
    async with listening(f"http://127.0.0.1:{place.ports['gateway.http']}") as outcome:
        print(f"\na visitor's question through all containers: {outcome}")
        if outcome != "answered":
            raise RuntimeError("the question was not answered")
        return await asyncio.to_thread(stop_gateway)


@contextmanager
def _place() -> Iterator[Place]:
    # Under /var: its parents let PostgreSQL's user pass.
    folder = Path(tempfile.mkdtemp(prefix="fleetdesk-images-", dir="/var/tmp"))
    folder.chmod(0o711)
    try:
        private = folder / "cluster"
        made = list(yaml.safe_load_all(secrets.write(private, secrets.POSTGRES).read_text()))
        postgres = PostgresServer(folder / "data", durable=False)
        nats = NatsServer(folder / "data")
        shutil.copytree(private / "nats", folder / "data/nats/keys", copy_function=shutil.copy2)
        postgres.start()
        try:
            nats.start()
            try:
                _lay_out(folder, made, postgres)
                yield Place(folder, postgres, nats, made)
            finally:
                nats.stop()
        finally:
            postgres.stop()
    finally:
        shutil.rmtree(folder)


def _lay_out(folder: Path, made: list[Manifest], postgres: PostgresServer) -> None:
    """Secrets as a cluster mounts them: owned by root, readable for the pods' group alone."""
    login = urlsplit(postgres.admin_url)
    contents = {each["metadata"]["name"]: each.get("stringData") or each["data"] for each in made}
    contents["fleetdesk-postgres-superuser"] = {
        "username": login.username or "",
        "password": login.password or "",
    }
    mounts = {
        "superuser": contents["fleetdesk-postgres-superuser"],
        "roles": contents["fleetdesk-database-roles"],
    }
    for service in SERVICES:
        own = contents[f"fleetdesk-{service}"]
        names = (f"{service}.key", "nats.nk")
        mounts[f"keys-{service}"] = contents["fleetdesk-public-keys"] | {n: own[n] for n in names}
    for name, files in mounts.items():
        target = folder / "mounts" / name
        target.mkdir(parents=True)
        for key, text in files.items():
            (target / key).write_text(text)
            shutil.chown(target / key, group=_USER)
            (target / key).chmod(0o440)


def _migrate(place: Place, services: Sequence[str], tag: str) -> None:
    """The Job, container by container; the first makes roles for all services."""
    job = next(pod for pod in pods(rendered(OVERLAY)) if pod.name == "migrations")
    for container in job.containers:
        image = container["image"].partition(":")[0].removeprefix("fleetdesk/")
        provision = container["name"] == "provision"
        if not provision and image not in services:
            continue
        variables = place.variables(container)
        arguments = [
            each.replace("$(POSTGRES_SERVER)", variables.get("POSTGRES_SERVER", ""))
            for each in container["args"]
        ]
        # Any service's image has the code that makes roles.
        image = services[0] if provision else image
        entry = ["--entrypoint", '["python", "-m", "fleetkit.postgres"]'] if provision else []
        mounts = _mount(place, "superuser") + _mount(place, "roles") if provision else []
        command = ["podman", "run", "--rm", *_CONFINED, *_environment(variables), *mounts, *entry]
        _podman([*command, f"localhost/fleetdesk/{image}:{tag}", *arguments])


def _start(place: Place, service: str, tag: str) -> None:
    found = next(
        each
        for pod in pods(rendered(OVERLAY))
        if pod.kind == "Deployment" and pod.name == service
        for each in pod.containers
    )
    scratch = [
        flag
        for mount in found["volumeMounts"]
        if mount["mountPath"].startswith("/var/")
        for flag in ("--tmpfs", f"{mount['mountPath']}:rw,size=512m,mode=1777")
    ]
    keys = _mount(place, f"keys-{service}", "keys")
    command = ["podman", "run", "--detach", "--name", _name(service), *_CONFINED, *scratch]
    command += [*_environment(place.variables(found)), *keys]
    _podman([*command, f"localhost/fleetdesk/{service}:{tag}"])


def _mount(place: Place, name: str, target: str | None = None) -> list[str]:
    source = place.folder / "mounts" / name
    return ["--volume", f"{source}:/run/fleetdesk/{target or name}:ro"]


def _environment(variables: Mapping[str, str]) -> list[str]:
    return [flag for name, value in variables.items() for flag in ("--env", f"{name}={value}")]


def _wait_ready(place: Place, service: str) -> float:
    """The time when the start-up probe passed; RuntimeError with the log when it never does."""
    url = f"http://127.0.0.1:{place.ports[f'{service}.metrics']}/readyz"
    until = time.monotonic() + _READY_PATIENCE_S
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return time.monotonic()
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    log = subprocess.run(
        ["podman", "logs", "--tail", "20", _name(service)],
        capture_output=True,
        text=True,
        check=False,
    )
    raise RuntimeError(f"{service} did not become ready:\n{log.stdout}{log.stderr}")


def _memory_mb(service: str) -> float:
    """Resident memory of the container's processes, children too (shared pages count twice).

    RuntimeError when one of them may do more than it should.
    """
    pids = _podman(["podman", "top", _name(service), "hpid"]).split()[1:]
    kilobytes = 0
    for pid in pids:
        lines = (
            line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        status = {name: value.strip() for name, _, value in lines}
        kilobytes += int(status["VmRSS"].split()[0])
        held = {name: status[name] for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}
        wanted = {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
        if held != wanted or status["Uid"].split()[0] != str(_USER):
            raise RuntimeError(f"{service}, process {pid}: {held}, user {status['Uid']}")
    _refuses_to_write(service)
    return kilobytes / 1000


def _refuses_to_write(service: str) -> None:
    command = ["podman", "exec", _name(service), "touch", "/opt/share/x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Read-only file system" not in done.stderr:
        raise RuntimeError(f"{service} could write to its root: {done.stderr}")


def _stop(service: str, ready_s: float, memory_mb: float) -> Drain:
    began = time.monotonic()
    _podman(["podman", "kill", "--signal", "TERM", _name(service)])
    code = _podman(["podman", "wait", "--interval", "20ms", _name(service)], _STOP_PATIENCE_S)
    return Drain(service, ready_s, memory_mb, time.monotonic() - began, int(code))


def _remove(service: str) -> None:
    subprocess.run(
        ["podman", "rm", "--force", "--time", "5", _name(service)], capture_output=True, check=False
    )


def _name(service: str) -> str:
    return f"fleetdesk-images-{service}"


def _podman(command: list[str], timeout_s: float = 120) -> str:
    done: Any = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:3])}: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip()
