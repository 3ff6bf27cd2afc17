"""The echo service, and databases with the schema `probe`, for the tests of fleetkit."""

import importlib
import importlib.resources
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from fleetkit.bus import Bus
from fleetkit.config import FleetSettings
from fleetkit.postgres import Database
from grpc_tools import protoc
from harness.databases import Databases
from harness.echo import EchoProtos, EchoService
from harness.probe.settings import ConsumerSettings, ProbeSettings, ProducerSettings
from harness.services import FleetServices
from harness.sides import Side
from nats.aio.client import Client

PROTOS = Path(__file__).parent / "protos"


@pytest.fixture(autouse=True)
def _unconfigured_log() -> None:
    """Every line can be seen here, whatever tests before in this process configured."""
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def echo_protos(tmp_path_factory: pytest.TempPathFactory) -> EchoProtos:
    out = tmp_path_factory.mktemp("protos_py")
    (out / "fleetkit_test_protos").mkdir()
    status = protoc.main(
        [
            "protoc",
            f"--proto_path=fleetkit_test_protos={PROTOS}",
            f"--proto_path={PROTOS.parents[2] / 'protos'}",
            f"--proto_path={importlib.resources.files('grpc_tools') / '_proto'}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            *(f"fleetkit_test_protos/{path.name}" for path in sorted(PROTOS.glob("*.proto"))),
        ]
    )
    assert status == 0
    sys.path.insert(0, str(out))
    try:
        return EchoProtos(
            pb=importlib.import_module("fleetkit_test_protos.echo_pb2"),
            echo=importlib.import_module("fleetkit_test_protos.echo_pb2_grpc"),
            unguarded=importlib.import_module("fleetkit_test_protos.unguarded_pb2_grpc"),
        )
    finally:
        sys.path.remove(str(out))


@pytest.fixture
async def rpc(echo_protos: EchoProtos, keys_dir: Path) -> AsyncIterator[EchoService]:
    made = EchoService(echo_protos, keys_dir)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def settings(fleet: FleetServices, databases: Databases) -> Callable[..., Any]:
    """`await settings(ProducerSettings)`: settings over a private database with schema probe."""

    async def make(kind: type[FleetSettings] = ProbeSettings, **more: Any) -> FleetSettings:
        return fleet.settings_of(kind, await databases.copy("probe"), **more)

    return make


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Any]]:
    """`await opened(settings)`: a pool that is closed at the end."""
    async with AsyncExitStack() as stack:

        async def open_database(settings: FleetSettings) -> Database:
            database = await Database.open(settings)
            stack.push_async_callback(database.close)
            return database

        yield open_database


@pytest.fixture
async def connected() -> AsyncIterator[Callable[..., Any]]:
    """`await connected(settings)`: the service's own NATS client, closed at the end."""
    async with AsyncExitStack() as stack:

        async def connect(settings: FleetSettings) -> Client:
            bus = Bus(settings)
            stack.push_async_callback(bus.close)
            await bus.connect()
            return bus.client

        yield connect


@pytest.fixture
async def producer(settings: Any, opened: Any, connected: Any) -> Side:
    made = await settings(ProducerSettings)
    return Side(made, await opened(made), await connected(made))


@pytest.fixture
async def consumer(settings: Any, opened: Any, connected: Any) -> Side:
    made = await settings(ConsumerSettings)
    return Side(made, await opened(made), await connected(made))
