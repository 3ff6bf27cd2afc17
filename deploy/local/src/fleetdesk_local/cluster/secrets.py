"""Keys and passwords of one cluster: made once into a private folder, written as manifests."""

import base64
import json
import secrets as random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from fleetkit.postgres.provision import owner_of, role_url, schema_of
from fleetkit.rpc.keys import generate_keys

from fleetdesk_local import nats_auth
from fleetdesk_local.cluster.bus import INTEGRATORS_FILE, integrators, key_variable
from fleetdesk_local.data_dir import write_private
from fleetdesk_local.roster import SERVICES

POSTGRES = (
    "postgresql://fleetdesk-postgres-rw:5432"
    "?sslmode=verify-full&sslrootcert=/run/fleetdesk/postgres-ca/ca.crt"
)
_NAMESPACE = "fleetdesk"


def write(folder: Path, postgres: str) -> Path:
    """Make what is missing in `folder` (0700) and write `secrets.yaml` there; returns its path.

    What is there stays, so a key is renewed by deleting its file first.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    objects = [*_service_secrets(folder, postgres), *_database(folder), *_public(folder)]
    path = folder / "secrets.yaml"
    write_private(path, yaml.safe_dump_all(objects, sort_keys=False))
    return path


# Services that keep secrets of tenants, and the file of the key that seals them.
_SEALING = {"gateway": "secrets-key", "llm-gateway": "llm-gateway-secrets-key"}


def _service_secrets(folder: Path, postgres: str) -> list[dict[str, Any]]:
    generate_keys(folder / "keys", SERVICES)
    passwords = _role_passwords(folder)
    made: list[dict[str, Any]] = []
    for service in SERVICES:
        role, owner = schema_of(service), owner_of(service)
        content = {
            f"{service}.key": (folder / "keys" / f"{service}.key").read_text(),
            "nats.nk": _seed(folder, service),
            "postgres-url": role_url(postgres, role, passwords[role]),
        }
        if service in _SEALING:
            content["secrets-key"] = _kept(folder / _SEALING[service], _new_secrets_key)
        made.append(_secret(f"fleetdesk-{service}", content))
        url = {"postgres-owner-url": role_url(postgres, owner, passwords[owner])}
        made.append(_secret(f"fleetdesk-{service}-owner", url))
    return made


def _database(folder: Path) -> list[dict[str, Any]]:
    password = _kept(folder / "superuser-password", lambda: random.token_urlsafe(24))
    login = {"username": "postgres", "password": password}
    superuser = _secret("fleetdesk-postgres-superuser", login)
    superuser["type"] = "kubernetes.io/basic-auth"
    return [superuser, _secret("fleetdesk-database-roles", _role_passwords(folder))]


def _public(folder: Path) -> list[dict[str, Any]]:
    public = {path.name: path.read_text() for path in sorted((folder / "keys").glob("*.pub"))}
    users = {
        key_variable(user): nats_auth.ensure_seed(nats_folder(folder), user)
        for user in (nats_auth.ADMIN, *SERVICES)
    }
    # Its seed stays in the folder: nothing in the cluster needs it.
    tenants = integrators_folder(folder)
    listening = {
        tenant_id: nats_auth.ensure_seed(tenants, str(tenant_id))
        for tenant_id in nats_auth.integrators(tenants)
    }
    return [
        _config_map("fleetdesk-public-keys", public),
        _config_map("fleetdesk-nats-public-keys", users),
        _config_map("fleetdesk-nats-integrators", {INTEGRATORS_FILE: integrators(listening)}),
    ]


def integrators_folder(folder: Path) -> Path:
    """Where the NKey seeds of tenants' integrators are kept: who has one there is let in."""
    seeds = folder / "integrators"
    seeds.mkdir(exist_ok=True, mode=0o700)
    return seeds


def _role_passwords(folder: Path) -> dict[str, str]:
    path = folder / "role-passwords.json"
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    roles = [role for service in SERVICES for role in (schema_of(service), owner_of(service))]
    chosen = {role: known.get(role) or random.token_urlsafe(24) for role in roles}
    write_private(path, json.dumps(chosen, indent=2))
    return chosen


def _seed(folder: Path, user: str) -> str:
    nats_auth.ensure_seed(nats_folder(folder), user)
    return nats_auth.seed_file(nats_folder(folder), user).read_text()


def nats_folder(folder: Path) -> Path:
    """Where the NKey seeds of the services and of `admin` are kept."""
    seeds = folder / "nats"
    seeds.mkdir(exist_ok=True, mode=0o700)
    return seeds


def _new_secrets_key() -> str:
    return f"k1:{base64.b64encode(random.token_bytes(32)).decode()}"


def _kept(path: Path, make: Any) -> str:
    if not path.exists():
        write_private(path, make())
    return path.read_text()


def _secret(name: str, content: Mapping[str, str]) -> dict[str, Any]:
    return _object("Secret", name) | {"type": "Opaque", "stringData": dict(content)}


def _config_map(name: str, content: Mapping[str, str]) -> dict[str, Any]:
    return _object("ConfigMap", name) | {"data": dict(content)}


def _object(kind: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": _NAMESPACE},
    }
