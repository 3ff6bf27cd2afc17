"""One fleet for all of these tests, and a browser."""

import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from harness.browser import chromium
from harness.local_fleet import ROOT, LocalFleet, local_fleet
from playwright.async_api import Page

RETURNS = Path(__file__).with_name("returns.md")


@pytest.fixture
def little_knowledge(tmp_path: Path) -> dict[str, str]:
    """Settings of a fleet whose demo tenant knows the first README alone: up in half the time."""
    folder = tmp_path / "knowledge"
    folder.mkdir()
    shutil.copy(ROOT / "README.md", folder)
    return {"FLEETDESK_DEMO_KNOWLEDGE": str(folder)}


@pytest.fixture(scope="package")
def running_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFleet]:
    """A fleet as `make up` starts it, whose demo tenant also knows `returns.md`."""
    with local_fleet(tmp_path_factory.mktemp("fleet") / "data") as fleet:
        teach(fleet, RETURNS)
        yield fleet


def teach(fleet: LocalFleet, document: Path) -> None:
    """Upload a document as the demo tenant and wait until it can be found."""
    headers = {"Authorization": f"Bearer {fleet.demo.api_key}"}
    with httpx.Client(base_url=fleet.url, headers=headers, trust_env=False) as client:
        file = (document.name, document.read_bytes(), "text/markdown")
        given = client.post("/v1/knowledge/sources", files={"file": file})
        assert given.status_code == 201, given.text
        source = f"/v1/knowledge/sources/{given.json()['source_id']}"
        until = time.monotonic() + 30
        while (status := client.get(source).json()["status"]) != "ready":
            assert status != "failed"
            assert time.monotonic() < until, f"{document.name} is still {status}"
            time.sleep(0.1)


@pytest.fixture
async def page(running_fleet: LocalFleet) -> AsyncIterator[Page]:
    """A page of a fresh browser profile at the fleet."""
    async with chromium() as browser:
        context = await browser.new_context(base_url=running_fleet.url)
        context.set_default_timeout(20_000)
        yield await context.new_page()
