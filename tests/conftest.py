"""Fixtures for every test: real PostgreSQL and NATS, services in-process, calls to them.

See README.md beside this file.
"""

import gc
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import nats
import pytest
from fleetdesk_local.nats_server import NatsServer
from fleetdesk_local.roster import SERVICES
from fleetkit import context, logging
from fleetkit.context import Attribution, CallContext, Identity, Kind
from fleetkit.rpc.identity import acting_as
from fleetkit.rpc.keys import KeyRing, generate_keys
from harness import distribution
from harness.databases import Databases, TestDatabase
from harness.run import Run
from harness.services import FleetServices, Running, TestBus

_LOOPBACK = ("127.", "::1", "localhost")
_RUN = pytest.StashKey[Run]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--examples", type=int, default=2, help="how many cases of each operation, for `surface`"
    )


def pytest_configure(config: pytest.Config) -> None:
    sys.addaudithook(_refuse_the_outside)
    is_worker = hasattr(config, "workerinput")
    config.stash[_RUN] = Run.current() if is_worker else Run.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[_RUN].end()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> distribution.Files:
    return distribution.Files(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collects garbage only of what comes after: what collecting makes stays until the end.

    A third of a collection's time was the garbage collector's, in each worker.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=distribution.place)


def _refuse_the_outside(event: str, arguments: tuple[Any, ...]) -> None:
    """Sockets to the outside are closed: a test depends on this machine alone."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
        if not host.startswith(_LOOPBACK):
            raise PermissionError(f"a test wanted to connect to {host}")


@pytest.fixture(scope="session", autouse=True)
def _quiet_log() -> None:
    """As a service logs, errors only: a pretty traceback takes a second each."""
    logging.configure("tests", "error")


@pytest.fixture(scope="session")
def examples(pytestconfig: pytest.Config) -> int:
    """How many generated cases of each operation are tried."""
    return int(pytestconfig.getoption("--examples") or 1)


@pytest.fixture(scope="session")
def databases(pytestconfig: pytest.Config) -> Databases:
    """The run's PostgreSQL; prefer `database` and `fleet_service`."""
    return Databases(pytestconfig.stash[_RUN])


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A NATS server of this worker; prefer `bus`, which leaves it empty."""
    server = NatsServer(tmp_path_factory.mktemp("nats"), services=(*SERVICES, "probe"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys of every service."""
    folder = tmp_path_factory.mktemp("keys") / "keys"
    generate_keys(folder, [*SERVICES, "probe"])
    return folder


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[Callable[[str], Any]]:
    """`await database("memory")` makes a private, migrated database of that service."""

    async def copy(service: str) -> TestDatabase:
        return await databases.copy(service)

    yield copy
    await databases.drop_all()


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[TestBus]:
    """The bus, empty at the start and the end; `bus.emit(event, tenant_id)`."""
    client = await nats.connect(
        nats_server.url, nkeys_seed_str=nats_server.seed_file("admin").read_text().strip()
    )
    tested = TestBus(client)
    await tested.purge()
    yield tested
    await tested.purge()
    await client.close()


@pytest.fixture
async def fleet(
    databases: Databases,
    nats_server: NatsServer,
    bus: TestBus,
    keys_dir: Path,
    tmp_path: Path,
) -> AsyncIterator[FleetServices]:
    """Starts services in this process and stops them at the end; see `fleet_service`."""
    services = FleetServices(databases, nats_server, keys_dir, tmp_path)
    yield services
    await services.stop_all()
    await databases.drop_all()


@pytest.fixture
def fleet_service(fleet: FleetServices) -> Callable[..., Any]:
    """`memory = await fleet_service("memory", some_setting=1)` starts that service."""

    async def start(name: str, **settings: Any) -> Running:
        return await fleet.start(name, **settings)

    return start


@pytest.fixture
def tenant_id() -> UUID:
    """A tenant."""
    return uuid4()


@pytest.fixture
def other_tenant_id() -> UUID:
    """Another one, which must never see anything of the first."""
    return uuid4()


@pytest.fixture
def as_identity(keys_dir: Path) -> Callable[..., AbstractContextManager[CallContext]]:
    """Calls inside `with as_identity(tenant_id, role="agent"):` carry that person's token.

    For a visitor: `kind="visitor"`, `subject=<visitor id>`, `conversation_id=…`.
    """
    gateway = KeyRing.load(keys_dir, "gateway")

    def act(
        tenant_id: UUID,
        *,
        role: str = "viewer",
        kind: Kind = "user",
        subject: str | None = None,
        conversation_id: UUID | None = None,
        attribution: Attribution | None = None,
        timeout_s: float = 30.0,
    ) -> AbstractContextManager[CallContext]:
        roles = frozenset({"visitor" if kind == "visitor" else role})
        person = Identity(tenant_id, subject or str(uuid4()), kind, roles, conversation_id)
        return acting_as(gateway, person, timeout_s, attribution=attribution)

    return act


@pytest.fixture
def as_background() -> Callable[..., AbstractContextManager[CallContext]]:
    """Calls inside `with as_background(tenant_id):` carry the tenant and no person."""
    return context.background
