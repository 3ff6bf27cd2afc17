"""One fleet for all of these tests, and a browser."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fleetdesk_local.browser import find_browser
from harness.local_fleet import LocalFleet, local_fleet
from playwright.sync_api import Browser, Page, sync_playwright

RETURNS = Path(__file__).with_name("returns.md")


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium; without one the test is skipped, in CI it fails."""
    executable = find_browser()
    if executable is None:
        advice = "Chromium is missing: `apt-get install chromium` as root"
        if os.environ.get("CI"):
            pytest.fail(advice)
        pytest.skip(advice)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, running_fleet: LocalFleet) -> Iterator[Page]:
    """A page of a fresh browser profile at the fleet."""
    context = browser.new_context(base_url=running_fleet.url)
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()
