"""A browser for the tests of widget and pages."""

from collections.abc import AsyncIterator

import pytest_asyncio
from harness.browser import chromium
from playwright.async_api import Browser


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
