"""Who may say what on the bus: an NKey for each user, and its permissions.

A service publishes events only under its own package, reads streams only through a durable of
its own name, and receives replies only under its own inbox prefix, `_INBOX.<service>`: a wildcard
on either would show it other services' messages.

Integrators are users of a tenant's, outside the fleet. Each takes the deliveries of its own
durables, `t_<tenant>`, acknowledges them, and hears its own inboxes; nothing else. They live in an
account of their own, which reaches those two subjects of the fleet's account and no other: within
the fleet's account a request's reply subject is not held to any permission, so that an integrator
could have the server deliver a message to any subject, another tenant's among them. For the same
reason an integrator's durables are made for it: who makes one names the subject it delivers to.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import nkeys
from fleetkit.events import streams

from fleetdesk_local.errors import LocalError

ADMIN = "admin"
FLEET = "FLEET"
INTEGRATORS = "INTEGRATORS"
_DELIVERIES = "$JS.API.CONSUMER.MSG.NEXT.*.*"
_ACKS = "$JS.ACK.>"
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
        # Its schedules, and ticks by hand where the fleet clock is moved.
        f"clock.schedule.{name}.*",
        f"clock.tick.{name}.*",
        f"{api}.DIRECT.GET.CLOCK.clock.schedule.{name}.*",
        # Declaring its own stream and the shared clock.
        *[
            f"{api}.STREAM.{verb}.{stream}"
            for verb in ("CREATE", "UPDATE")
            for stream in (f"FLEETDESK_{name.upper()}", "CLOCK")
        ],
        # Taking an erased tenant's events out of its own stream, once all consumers have them.
        *[
            f"{api}.{verb}.FLEETDESK_{name.upper()}"
            for verb in ("STREAM.PURGE", "STREAM.MSG.GET", "CONSUMER.LIST")
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


def integrator(tenant_id: UUID) -> str:
    """What an integrator's durables are called, and its inboxes after `_INBOX.`."""
    return streams.integrator_name(tenant_id)


def integrator_permissions(tenant_id: UUID, services: tuple[str, ...]) -> dict[str, Any]:
    """The permissions of a tenant's integrator, as nats-server reads them."""
    name = integrator(tenant_id)
    allowed = [
        subject
        for service in services
        for stream in (f"FLEETDESK_{service.replace('-', '_').upper()}",)
        for subject in (
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}",
            f"$JS.ACK.{stream}.{name}.>",
        )
    ]
    return {"publish": {"allow": allowed}, "subscribe": {"allow": [f"_INBOX.{name}.>"]}}


def integrators(folder: Path) -> list[UUID]:
    """The tenants that have an integrator: those whose seed is in `folder`."""
    return sorted(UUID(path.stem) for path in folder.glob("*.nk"))


def accounts(keys: Path, integrators_folder: Path, services: tuple[str, ...]) -> dict[str, Any]:
    """The `accounts` of the server's configuration; makes missing seeds of the fleet."""
    tenants = {
        tenant_id: ensure_seed(integrators_folder, str(tenant_id))
        for tenant_id in integrators(integrators_folder)
    }
    fleet = {user: ensure_seed(keys, user) for user in (ADMIN, *services)}
    return {
        FLEET: fleet_account(fleet),
        INTEGRATORS: integrators_account(integrator_users(tenants, services)),
    }


def fleet_account(keys: Mapping[str, str]) -> dict[str, Any]:
    """The account of the services, and of `admin`, with their public keys."""
    return {
        "jetstream": "enabled",
        "users": [
            {"nkey": key} | ({} if user == ADMIN else {"permissions": permissions(user)})
            for user, key in keys.items()
        ],
        "exports": [
            {"service": _DELIVERIES, "response_type": "stream", "accounts": [INTEGRATORS]},
            {"service": _ACKS, "accounts": [INTEGRATORS]},
        ],
    }


def integrators_account(users: list[dict[str, Any]]) -> dict[str, Any]:
    """The account of the tenants' integrators."""
    return {
        "users": users,
        "imports": [
            {"service": {"account": FLEET, "subject": subject}} for subject in (_DELIVERIES, _ACKS)
        ],
    }


def integrator_users(keys: Mapping[UUID, str], services: tuple[str, ...]) -> list[dict[str, Any]]:
    """The users of `integrators_account`, with their public keys."""
    return [
        {"nkey": key, "permissions": integrator_permissions(tenant_id, services)}
        for tenant_id, key in keys.items()
    ]
