"""The gateway alone, the whole fleet behind it, and a browser in front of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
import pytest_asyncio
from fakes.neighbours import FakeNeighbours
from fleetdesk_local.nats_server import NatsServer
from harness.browser import chromium
from harness.databases import Databases
from harness.desk import Desk, bare_gateway, scripted_fleet, whole_fleet
from harness.services import FleetServices, TestBus
from playwright.async_api import Browser


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the converted model is kept for the whole run."""
    return tmp_path_factory.mktemp("models")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_services(
    databases: Databases,
    nats_server: NatsServer,
    keys_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[FleetServices]:
    """Starts services for a whole module, on an empty bus."""
    seed = nats_server.seed_file("admin").read_text().strip()
    client = await nats.connect(nats_server.url, nkeys_seed_str=seed)
    await TestBus(client).purge()
    services = FleetServices(databases, nats_server, keys_dir, tmp_path_factory.mktemp("services"))
    yield services
    await services.stop_all()
    await databases.drop_all()
    await TestBus(client).purge()
    await client.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(module_services: FleetServices) -> AsyncIterator[Desk]:
    """The gateway alone: the services that it calls are away."""
    async with bare_gateway(module_services.start) as desk:
        yield desk


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def neighbours(keys_dir: Path) -> AsyncIterator[FakeNeighbours]:
    """Retrieval and a model that follow a script (see `harness.asking.reset_script`)."""
    fakes = FakeNeighbours(keys_dir)
    await fakes.start()
    yield fakes
    await fakes.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talk(module_services: FleetServices, neighbours: FakeNeighbours) -> AsyncIterator[Desk]:
    """The gateway, conversation, and answers that follow a script."""
    async with scripted_fleet(module_services.start, neighbours) as desk:
        yield desk


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(module_services: FleetServices, model_cache: Path) -> AsyncIterator[Desk]:
    """The gateway with the whole fleet behind it."""
    async with whole_fleet(module_services.start, model_cache) as desk:
        yield desk


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_browser() -> AsyncIterator[Browser]:
    """One Chromium for a module whose tests share one event loop."""
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    """A Chromium of the test's own event loop, for tests that also start services."""
    async with chromium() as browser:
        yield browser
