"""Tenants' own programs on a cluster's bus: a key in the folder of secrets, durables in NATS."""

from pathlib import Path
from uuid import UUID

import nats
import nats.errors
from fleetkit.events import streams
from nats.js.errors import NotFoundError

from fleetdesk_local import nats_auth
from fleetdesk_local.cluster import secrets
from fleetdesk_local.errors import LocalError
from fleetdesk_local.roster import SERVICES


async def admit(folder: Path, tenant_id: UUID, nats_url: str) -> Path:
    """Make a tenant's key and its durables on all streams; the same again when they exist.

    The folder's `secrets.yaml` must be written and applied afterwards, and NATS told to read it.
    Returns the seed file. LocalError when NATS does not answer or the fleet has not run there yet.
    """
    admin = nats_auth.seed_file(secrets.nats_folder(folder), nats_auth.ADMIN)
    try:
        client = await nats.connect(
            nats_url,
            nkeys_seed=str(admin),
            connect_timeout=5,
            allow_reconnect=False,
            max_reconnect_attempts=1,
        )
    except (nats.errors.Error, OSError) as error:
        raise LocalError(f"NATS at {nats_url} does not answer: {error}.") from error
    try:
        for service in SERVICES:
            await streams.declare_integrator(client.jetstream(), service, tenant_id)
    except NotFoundError as error:
        raise LocalError("A service has no stream yet: let the fleet start once.") from error
    finally:
        await client.close()
    tenants = secrets.integrators_folder(folder)
    nats_auth.ensure_seed(tenants, str(tenant_id))
    return nats_auth.seed_file(tenants, str(tenant_id))
