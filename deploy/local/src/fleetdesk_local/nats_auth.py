"""Who may say what on the bus: an NKey for each service, and its permissions.

A service publishes events only under its own package, reads streams only through a durable of
its own name, and receives replies only under its own inbox prefix, `_INBOX.<service>`: a wildcard
on either would show it other services' messages.
"""

import secrets
from pathlib import Path
from typing import Any

import nkeys

from fleetdesk_local.errors import LocalError

ADMIN = "admin"
_USER_PREFIX = nkeys.PREFIX_BYTE_USER


def seed_file(folder: Path, user: str) -> Path:
    """Where the NKey seed of a user is kept, mode 0600."""
    return folder / f"{user}.nk"


def ensure_seed(folder: Path, user: str) -> str:
    """Make the user's NKey when there is none; return its public key (`U…`)."""
    path = seed_file(folder, user)
    if not path.exists() or not path.stat().st_size:
        path.touch(mode=0o600)
        path.write_bytes(nkeys.encode_seed(secrets.token_bytes(32), _USER_PREFIX))
    public: object = nkeys.from_seed(path.read_bytes().strip()).public_key
    if not isinstance(public, bytes):
        raise LocalError(f"{path} is no NKey seed: remove it, and a new one is made.")
    return public.decode()


def permissions(service: str) -> dict[str, Any]:
    """The permissions of a service's user, as nats-server reads them."""
    name = service.replace("-", "_")
    api = "$JS.API"
    publish = [
        f"fleetdesk.{name}.>",
        f"clock.schedule.{name}.>",
        # Declaring its own stream and the shared clock.
        *[
            f"{api}.STREAM.{verb}.{stream}"
            for verb in ("CREATE", "UPDATE")
            for stream in (f"FLEETDESK_{name.upper()}", "CLOCK")
        ],
        f"{api}.INFO",
        f"{api}.STREAM.INFO.*",
        f"{api}.STREAM.NAMES",
        # Reading through a durable of its own name.
        f"{api}.CONSUMER.CREATE.*.{name}",
        f"{api}.CONSUMER.CREATE.*.{name}.>",
        f"{api}.CONSUMER.DURABLE.CREATE.*.{name}",
        f"{api}.CONSUMER.INFO.*.{name}",
        f"{api}.CONSUMER.MSG.NEXT.*.{name}",
        f"$JS.ACK.*.{name}.>",
    ]
    return {"publish": {"allow": publish}, "subscribe": {"allow": [f"_INBOX.{name}.>"]}}


def users(folder: Path, services: tuple[str, ...]) -> list[dict[str, Any]]:
    """The `authorization.users` of the server's configuration; makes missing seeds."""
    listed: list[dict[str, Any]] = [{"nkey": ensure_seed(folder, ADMIN)}]
    for service in services:
        key = ensure_seed(folder, service)
        listed.append({"nkey": key, "permissions": permissions(service)})
    return listed
