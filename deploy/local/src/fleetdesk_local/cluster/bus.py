"""The users of a cluster's NATS: the permissions of a local fleet's, with keys from outside."""

import json

from fleetdesk_local import nats_auth
from fleetdesk_local.roster import SERVICES, package_of


def key_variable(user: str) -> str:
    """The variable of the server's environment that holds the user's public key."""
    return f"NKEY_{package_of(user).upper()}"


def users() -> str:
    """The `authorization` block, to be included into the server's configuration."""
    listed = [f"  {{nkey: ${key_variable(nats_auth.ADMIN)}}}"]
    for service in SERVICES:
        permissions = json.dumps(nats_auth.permissions(service), indent=2)
        indented = permissions.replace("\n", "\n  ")
        listed.append(f"  {{nkey: ${key_variable(service)}, permissions: {indented}}}")
    return "authorization { users: [\n" + ",\n".join(listed) + "\n] }\n"
