"""PostgreSQL and NATS of a fleet: ours, or those that the person points to."""

import asyncio
import json
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from fleetkit.errors import FleetError
from fleetkit.postgres.migrations import migrate
from fleetkit.postgres.provision import owner_of, provision, role_url

from fleetdesk_local import children, integrators
from fleetdesk_local.config import LocalSettings
from fleetdesk_local.data_dir import DataDir, write_private
from fleetdesk_local.errors import LocalError
from fleetdesk_local.nats_server import NatsServer
from fleetdesk_local.postgres import PostgresServer
from fleetdesk_local.programs import Program
from fleetdesk_local.roster import SERVICES, package_of
from fleetdesk_local.services import Servers
from fleetdesk_local.supervisor import Supervisor

_CONNECT_TIMEOUT_S = 5


class FleetServers:
    """Starts what is ours under a supervisor, then makes databases, roles and tables."""

    def __init__(self, settings: LocalSettings, data: DataDir) -> None:
        self._data = data
        url = settings.postgres_url
        self._postgres_url = url.get_secret_value() if url else None
        self._nats_url = settings.nats_url
        self._postgres = None if url else PostgresServer(data.path)
        self._nats = None if settings.nats_url else NatsServer(data.path)
        self._programs: list[tuple[PostgresServer | NatsServer, Program]] = []

    @property
    def _admin_url(self) -> str | None:
        return self._postgres.admin_url if self._postgres else self._postgres_url

    def prepare(self) -> None:
        """Make clusters and configurations; before any supervisor runs, which reaps children."""
        for server in (self._postgres, self._nats):
            if server is not None:
                self._programs.append((server, server.prepare()))

    async def start(self, supervisor: Supervisor) -> None:
        """Start both and wait until they answer; LocalError with what to do."""
        for _, program in self._programs:
            await supervisor.start(program)
        waits = [
            asyncio.to_thread(
                server.wait_until_ready, program, lambda name=program.name: _runs(supervisor, name)
            )
            for server, program in self._programs
        ]
        await asyncio.gather(*waits, self._check_nats_elsewhere())

    async def migrate(self) -> Servers:
        """Make what is missing of database, roles and tables; returns how services connect."""
        admin_url = self._admin_url
        if admin_url is None:
            raise LocalError("There is no PostgreSQL: set FLEETDESK_POSTGRES_URL or unset it.")
        passwords = await migrate_all(admin_url, self._data)
        nats = self._nats
        return Servers(
            postgres_url=admin_url,
            role_passwords=passwords,
            nats_url=nats.url if nats else self._nats_url or "",
            nats_seed_files={name: nats.seed_file(name) for name in SERVICES} if nats else {},
        )

    async def restore_integrators(self) -> None:
        """Make what a NATS that lost its data has forgotten; services declare their own."""
        if self._nats is not None:
            await self.dismiss_erased()
            await integrators.declare_durables(self._nats)

    async def dismiss_erased(self) -> list[UUID]:
        """Shut out the integrators of erased tenants; returns which. Later where a server is away.

        None where NATS is not ours: its users are made, and removed, there.
        """
        if self._nats is None or self._admin_url is None:
            return []
        process = children.read_pid_file(children.pid_file(self._data.run, "nats"))
        try:
            return await integrators.dismiss_erased(self._nats, self._admin_url, process)
        except (psycopg.Error, LocalError):
            return []

    async def _check_nats_elsewhere(self) -> None:
        if self._nats_url is None:
            return
        address = urlsplit(self._nats_url)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(address.hostname, address.port or 4222)
        except (OSError, TimeoutError):
            raise LocalError(
                f"No NATS answers at {address.hostname}:{address.port or 4222}: put "
                "FLEETDESK_NATS_URL right, or unset it to use our own."
            ) from None
        writer.close()


async def migrate_all(admin_url: str, data: DataDir) -> dict[str, str]:
    """Make what is missing of database, roles and tables; returns the password of each role.

    LocalError with what to do when the server refuses.
    """
    passwords = await _provision(admin_url, data)
    await asyncio.gather(*(_migrate(admin_url, passwords, service) for service in SERVICES))
    return passwords


def _runs(supervisor: Supervisor, name: str) -> bool:
    return supervisor.pid(name) is not None


async def _provision(admin_url: str, data: DataDir) -> dict[str, str]:
    known: dict[str, str] = {}
    if data.role_passwords_file.exists():
        known = json.loads(data.role_passwords_file.read_text())
    try:
        passwords = await provision(admin_url, SERVICES, passwords=known)
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise LocalError(
            f"The database could not be prepared ({reason}): FLEETDESK_POSTGRES_URL must be that "
            "of an administrator of a PostgreSQL with pgvector."
        ) from None
    write_private(data.role_passwords_file, json.dumps(passwords))
    return passwords


async def _migrate(admin_url: str, passwords: dict[str, str], service: str) -> None:
    owner = owner_of(service)
    try:
        await migrate(role_url(admin_url, owner, passwords[owner]), package_of(service))
    except (FleetError, psycopg.Error) as error:
        reason = str(error).strip().splitlines()[0]
        raise LocalError(f"The tables of {service} could not be brought up: {reason}.") from error
