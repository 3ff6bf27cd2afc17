"""The services of the fleet: their packages, ports and environments."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleetkit.postgres.provision import role_url, schema_of

from fleetdesk_local import config, ports
from fleetdesk_local.data_dir import DataDir
from fleetdesk_local.programs import Program
from fleetdesk_local.roster import SERVICES, package_of

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Servers:
    """Where PostgreSQL and NATS are: admin URL, role passwords, NATS URL, seed file by service."""

    postgres_url: str
    role_passwords: Mapping[str, str]
    nats_url: str
    nats_seed_files: Mapping[str, Path]


def assign_ports(data: DataDir) -> dict[str, int]:
    """`<service>.grpc` and `<service>.metrics` → port; the same as last time where still free."""
    names = [f"{service}.{kind}" for service in SERVICES for kind in ("grpc", "metrics")]
    return ports.assign(data.ports_file, names)


def port_file(data: DataDir, service: str) -> Path:
    """Where a service writes its ports once it is ready."""
    return data.run / f"{service}.ports.json"


def program(
    service: str, data: DataDir, servers: Servers, assigned: Mapping[str, int], http_bind: str
) -> Program:
    """One service as a program to run."""
    package = package_of(service)
    own = {
        "FLEETDESK_POSTGRES_URL": _database_url(servers, schema_of(service)),
        "FLEETDESK_NATS_URL": servers.nats_url,
        "FLEETDESK_KEYS_DIR": str(data.keys),
        "FLEETDESK_GRPC_BIND": f"{_HOST}:{assigned[f'{service}.grpc']}",
        "FLEETDESK_METRICS_BIND": f"{_HOST}:{assigned[f'{service}.metrics']}",
        "FLEETDESK_PORT_FILE": str(port_file(data, service)),
        "FLEETDESK_BLOB_URL": (data.blobs / package).as_uri(),
        "FLEETDESK_CLOCK_FILE": str(data.clock_file),
        "FLEETDESK_MODEL_CACHE_DIR": str(data.path / "models"),
        "FLEETDESK_DEFAULT_PLAN": "development",
        **_addresses(assigned),
    }
    if service in servers.nats_seed_files:
        own["FLEETDESK_NATS_NKEY_FILE"] = str(servers.nats_seed_files[service])
    if service == "gateway":
        own["FLEETDESK_HTTP_BIND"] = http_bind
    return Program(
        name=service,
        # -P: the data folder has a folder named nats, which must not be imported.
        argv=(sys.executable, "-P", "-m", package),
        log_file=data.logs / f"{service}.log",
        environment=config.service_environment() | own,
        working_dir=data.path,
    )


def _addresses(assigned: Mapping[str, int]) -> dict[str, str]:
    return {
        f"FLEETDESK_{package_of(service).upper()}_ADDRESS": f"{_HOST}:{assigned[f'{service}.grpc']}"
        for service in SERVICES
    }


def _database_url(servers: Servers, role: str) -> str:
    return role_url(servers.postgres_url, role, servers.role_passwords[role])
