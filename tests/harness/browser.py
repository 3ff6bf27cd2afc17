"""Headless Chromium for tests, and the assets that pages need."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from fleetdesk_local.browser import find_browser
from fleetdesk_local.config import in_ci
from playwright.async_api import Browser, Page, async_playwright

ROOT = Path(__file__).parents[2]
WEB = ROOT / "services/gateway/web"
STATIC = ROOT / "services/gateway/src/gateway/static"

# What a change of size or colours sets off begins with the frame after it.
_SETTLE = """
async () => {
  for (let n = 0; n < 2; n += 1) await new Promise(requestAnimationFrame);
  await Promise.all(document.getAnimations().map((each) => each.finished.catch(() => {})));
}
"""
_RUN_AXE = """
async (options) => (await axe.run(options)).violations.flatMap(
  (rule) => rule.nodes.map((node) => `${rule.id}: ${rule.help}: ${node.html.slice(0, 200)}`))
"""


def chromium_path() -> str:
    """The browser of this machine; without one the test is skipped, but in CI it fails."""
    found = find_browser()
    if found is None:
        advice = "no Chromium on this machine: install Debian's package `chromium-headless-shell`"
        if in_ci():
            pytest.fail(advice, False)
        pytest.skip(advice)
    return str(found)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A headless browser that talks to this machine only."""
    arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=arguments)
        yield browser
        await browser.close()


def built_assets() -> Path:
    """The folder of built assets; builds them where `make setup` did not."""
    if not (STATIC / "manifest.json").is_file():
        npm = shutil.which("npm", path=f"{ROOT / '.venv/bin'}:/usr/local/bin:/usr/bin:/bin")
        assert npm, "npm is missing: run `make setup`"
        subprocess.run([npm, "ci"], cwd=WEB, check=True)
        subprocess.run([npm, "run", "build"], cwd=WEB, check=True)
    return STATIC


async def axe_violations(page: Page, *, only: Sequence[str] = ()) -> list[str]:
    """What axe finds wrong with a page at any level, target sizes included; one line each.

    Waits until animations are over: half-faded text has half its contrast. axe is put into a
    document once, through the debugger, which no Content Security Policy keeps out. `only`: the
    rules that are tried instead of all.
    """
    await page.evaluate(_SETTLE)
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE_SCRIPT)
    options: dict[str, Any] = {"resultTypes": ["violations"], "elementRef": False}
    options |= {"runOnly": only} if only else {"rules": {"target-size": {"enabled": True}}}
    return await page.evaluate(_RUN_AXE, options)
