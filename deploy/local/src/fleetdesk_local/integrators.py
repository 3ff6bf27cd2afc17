"""Tenants' own programs on the bus: let in, shut out, and their durables."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import nats
import nats.errors
import psutil
import psycopg
from fleetkit.events import streams
from fleetkit.postgres.provision import DATABASE
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from psycopg.conninfo import make_conninfo

from fleetdesk_local import children, nats_auth, ports
from fleetdesk_local.config import LocalSettings
from fleetdesk_local.data_dir import DataDir
from fleetdesk_local.errors import LocalError
from fleetdesk_local.nats_server import NatsServer
from fleetdesk_local.roster import SERVICES

Say = Callable[[str], None]
_CONNECT_TIMEOUT_S = 5


async def admit(settings: LocalSettings, data: DataDir, tenant_id: UUID, say: Say) -> None:
    """Let a tenant's program in and say how it connects; the same key again when it has one."""
    server, process = _running(settings, data)
    seed_file = await let_in(server, tenant_id, process)
    name = nats_auth.integrator(tenant_id)
    say(
        f"tenant {tenant_id} may listen at {server.url}\n"
        f"  NKey seed: {seed_file}\n"
        f"  durable on each stream FLEETDESK_<SERVICE>: {name}\n"
        f"  inbox prefix: _INBOX.{name}"
    )


async def dismiss(settings: LocalSettings, data: DataDir, tenant_id: UUID, say: Say) -> None:
    """Shut a tenant's program out, end its connections and delete its durables and its key."""
    server, process = _running(settings, data)
    await shut_out(server, tenant_id, process)
    say(f"tenant {tenant_id} may not listen any more")


async def let_in(
    server: NatsServer, tenant_id: UUID, process: psutil.Process | None = None
) -> Path:
    """Make a tenant's key and durables; returns the seed file once the server takes the key."""
    nats_auth.ensure_seed(server.integrators_folder, str(tenant_id))
    async with _admin(server) as client:
        await _declare(client, [tenant_id])
    await asyncio.to_thread(server.reload, process)
    return nats_auth.seed_file(server.integrators_folder, str(tenant_id))


async def shut_out(
    server: NatsServer, tenant_id: UUID, process: psutil.Process | None = None
) -> None:
    """Delete a tenant's key and durables; LocalError when it has none."""
    seed_file = nats_auth.seed_file(server.integrators_folder, str(tenant_id))
    if not seed_file.exists():
        raise LocalError(f"Tenant {tenant_id} has no integrator: there is nothing to remove.")
    seed_file.unlink()
    await asyncio.to_thread(server.reload, process)
    async with _admin(server) as client:
        await _forget(client, tenant_id)


async def dismiss_erased(
    server: NatsServer, admin_url: str, process: psutil.Process | None = None
) -> list[UUID]:
    """Shut out the integrators of tenants that the gateway has erased; returns which."""
    tenants = nats_auth.integrators(server.integrators_folder)
    if not tenants:
        return []
    async with await psycopg.AsyncConnection.connect(
        make_conninfo(admin_url, dbname=DATABASE), connect_timeout=_CONNECT_TIMEOUT_S
    ) as conn:
        found = await conn.execute(
            "select tenant_id from gateway.tombstone where kind = 'tenant' and tenant_id = any(%s)",
            [tenants],
        )
        erased: list[UUID] = [row[0] for row in await found.fetchall()]
    for tenant_id in erased:
        await shut_out(server, tenant_id, process)
    return erased


async def declare_durables(server: NatsServer) -> None:
    """Make the durables of all integrators on every stream; those that exist stay as they are."""
    tenants = nats_auth.integrators(server.integrators_folder)
    if tenants:
        async with _admin(server) as client:
            await _declare(client, tenants)


async def _declare(client: Client, tenants: Sequence[UUID]) -> None:
    js = client.jetstream()
    for service in SERVICES:
        await streams.declare_stream(js, service)
        for tenant_id in tenants:
            await streams.declare_integrator(js, service, tenant_id)


async def _forget(client: Client, tenant_id: UUID) -> None:
    js = client.jetstream()
    for service in SERVICES:
        try:
            await js.delete_consumer(streams.stream_name(service), nats_auth.integrator(tenant_id))
        except NotFoundError:
            # The stream is younger than the integrator, or was lost.
            continue


def _running(settings: LocalSettings, data: DataDir) -> tuple[NatsServer, psutil.Process]:
    """The server of the fleet in `data` and its process."""
    if settings.nats_url is not None:
        raise LocalError(
            "FLEETDESK_NATS_URL points to a NATS of yours: its users are made there, as "
            "services/README.md says."
        )
    process = children.read_pid_file(children.pid_file(data.run, "nats"))
    if process is None:
        raise LocalError("The fleet is not up: run `make up` first.")
    port = ports.stored(data.path / "nats.port.json")["nats"]
    return NatsServer(data.path, port=port), process


@asynccontextmanager
async def _admin(server: NatsServer) -> AsyncIterator[Client]:
    try:
        client = await nats.connect(
            server.url, nkeys_seed=str(server.seed_file(nats_auth.ADMIN)), connect_timeout=2
        )
    except (nats.errors.Error, OSError) as error:
        raise LocalError(f"NATS at {server.url} does not answer: {error}.") from error
    try:
        yield client
    finally:
        await client.close()
