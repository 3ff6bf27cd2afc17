"""The fleet from start to stop: what `up` does, in order."""

import asyncio
import ipaddress
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlunsplit

from fleetkit.rpc.keys import generate_keys

from fleetdesk_local import children, ports, readiness, services
from fleetdesk_local.config import LocalSettings
from fleetdesk_local.data_dir import DataDir, RunState
from fleetdesk_local.demo import ensure_demo
from fleetdesk_local.errors import LocalError
from fleetdesk_local.reload import restart_on_change
from fleetdesk_local.roster import SERVICES
from fleetdesk_local.servers import FleetServers
from fleetdesk_local.supervisor import Death, Supervisor

_READY_PATIENCE_S = 120.0
_REPEAT_S = 10.0
_LOOK_AGAIN_S = 2.0

Say = Callable[[str], None]


class Fleet:
    """One fleet in one data folder; `say` is given sentences for the person.

    With `reload`, a service is restarted when its code changes.
    """

    def __init__(
        self, settings: LocalSettings, data: DataDir, say: Say, *, reload: bool = False
    ) -> None:
        self._reload = reload
        self._settings = settings
        self._data = data
        self._say = say
        self._is_up = False
        self._first_death: asyncio.Future[Death] = asyncio.get_running_loop().create_future()
        self._reported: dict[str, float] = {}
        self._supervisor = Supervisor(data.run, self._on_death)
        self._servers = FleetServers(settings, data)

    @property
    def url(self) -> str:
        """Where the pages and the API are."""
        host = self._settings.http_host
        if ipaddress.ip_address(host).is_unspecified:
            host = "127.0.0.1"
        return urlunsplit(("http", f"{host}:{self._settings.http_port}", "", "", ""))

    async def run(self) -> None:
        """Bring the fleet up, keep it up until SIGINT, SIGTERM or SIGHUP, bring it down.

        LocalError when it does not come up; what had started is stopped then.
        """
        stop = asyncio.Event()
        self._prepare()
        await self._supervisor.open()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            if await self._start_unless(stop):
                await self._stay(stop)
        finally:
            await self._stop()

    def _prepare(self) -> None:
        ended = children.end_orphans(self._data.run)
        if ended:
            self._say(f"ended what an earlier run left: {', '.join(ended)}")
        if not ports.is_free(self._settings.http_port):
            raise LocalError(
                f"Port {self._settings.http_port} is taken: stop what listens there, or choose "
                "another with FLEETDESK_HTTP_PORT."
            )
        generate_keys(self._data.keys, SERVICES)
        self._servers.prepare()

    async def _start_unless(self, stop: asyncio.Event) -> bool:
        """Start everything; False when `stop` came first, LocalError when a child died."""
        starting = asyncio.ensure_future(self._start())
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait(
            {starting, stopped, self._first_death}, return_when=asyncio.FIRST_COMPLETED
        )
        stopped.cancel()
        if starting.done():
            starting.result()
            return True
        starting.cancel()
        await asyncio.wait({starting})
        if self._first_death.done():
            death = self._first_death.result()
            raise LocalError(f"{death.sentence()} (all of it: {death.program.log_file}).")
        return False

    async def _start(self) -> None:
        began = time.monotonic()
        await self._servers.start(self._supervisor)
        connections = await self._servers.migrate()
        self._say(f"PostgreSQL and NATS are ready ({time.monotonic() - began:.1f} s)")
        assigned = services.assign_ports(self._data)
        http_bind = f"{self._settings.http_host}:{self._settings.http_port}"
        for service in SERVICES:
            services.port_file(self._data, service).unlink(missing_ok=True)
            program = services.program(service, self._data, connections, assigned, http_bind)
            await self._supervisor.start(program)
        await asyncio.gather(*(self._wait_for(service) for service in SERVICES))
        await self._servers.restore_integrators()
        self._is_up = True
        self._say(f"{len(SERVICES)} services are ready ({time.monotonic() - began:.1f} s)")
        demo = await ensure_demo(self.url, self._data, self._settings.demo_knowledge)
        message = f"fleetdesk is up: {self.url}\n  log in as {demo.email} with {demo.password}"
        self._data.write_state(RunState("up", message))
        self._say(message)

    async def _stay(self, stop: asyncio.Event) -> None:
        """Wait for the end: a signal, or the loss of the data folder."""
        reloading = None
        if self._reload:
            reloading = asyncio.create_task(restart_on_change(self._supervisor, SERVICES))
        while not stop.is_set():
            for tenant_id in await self._servers.dismiss_erased():
                self._say(f"tenant {tenant_id} was erased: its integrator is dismissed")
            if not self._data.runner_file.exists():
                self._say(f"{self._data.path} was deleted: the fleet can't go on without")
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_AGAIN_S)
        if reloading is not None:
            reloading.cancel()

    async def _wait_for(self, service: str) -> None:
        file = services.port_file(self._data, service)
        log = self._data.logs / f"{service}.log"
        await readiness.wait_for_service(service, file, log, _READY_PATIENCE_S)

    async def _stop(self) -> None:
        if self._is_up:
            self._say("stopping …")
        await self._supervisor.stop([name for name in SERVICES if self._supervisor.knows(name)])
        await self._supervisor.close()

    def _on_death(self, death: Death) -> None:
        if not self._is_up:
            if not self._first_death.done():
                self._first_death.set_result(death)
            return
        name = death.program.name
        now = time.monotonic()
        if now - self._reported.get(name, -_REPEAT_S) >= _REPEAT_S:
            self._reported[name] = now
            self._say(f"{death.sentence()} — starting it again")
