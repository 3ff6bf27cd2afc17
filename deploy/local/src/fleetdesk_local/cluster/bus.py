"""The users of a cluster's NATS: the accounts of a local fleet's, with keys from outside."""

import json
from collections.abc import Mapping
from uuid import UUID

from fleetdesk_local import nats_auth
from fleetdesk_local.roster import SERVICES, package_of

INTEGRATORS_FILE = "nats-integrators.conf"


def key_variable(user: str) -> str:
    """The variable of the server's environment that holds the user's public key."""
    return f"NKEY_{package_of(user).upper()}"


def users() -> str:
    """The `accounts` block, to be included into the server's configuration.

    Integrators come and go with tenants: their users are in a file of their own.
    """
    variables = {user: f"${key_variable(user)}" for user in (nats_auth.ADMIN, *SERVICES)}
    accounts = {
        nats_auth.FLEET: nats_auth.fleet_account(variables),
        nats_auth.INTEGRATORS: nats_auth.integrators_account([]),
    }
    text = json.dumps(accounts, indent=2)
    for variable in variables.values():
        # Within quotes it would be the key itself.
        text = text.replace(f'"{variable}"', variable)
    text = text.replace('"users": [],', f"include {INTEGRATORS_FILE}")
    return f"accounts: {text}\n"


def integrators(keys: Mapping[UUID, str]) -> str:
    """The file of the integrators' users, with the public key of each tenant's."""
    return f"users: {json.dumps(nats_auth.integrator_users(keys, SERVICES), indent=2)}\n"
