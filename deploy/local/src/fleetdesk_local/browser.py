"""The browser that the end-to-end tests drive: Debian's chromium."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from fleetdesk_local import config
from fleetdesk_local.errors import LocalError

_NAMES = ("chromium", "chromium-browser", "google-chrome")

Say = Callable[[str], None]


def find_browser() -> Path | None:
    """The browser, if one is installed."""
    found = (shutil.which(name) for name in _NAMES)
    return next((Path(path) for path in found if path), None)


def ensure_browser(say: Say) -> None:
    """Install chromium where that is possible; else say what to do, which in CI is an error."""
    if find_browser() is not None:
        return
    advice = "Chromium is missing: `apt-get install chromium` as root"
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say("installing chromium for the tests in a browser")
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
            _apt_get(command)
    elif config.in_ci():
        raise LocalError(f"{advice}; in CI its tests are never skipped.")
    else:
        say(f"{advice}; until then the tests in a browser are skipped.")


def _apt_get(arguments: list[str]) -> None:
    done = subprocess.run(
        ["apt-get", "--quiet", "--quiet", *arguments],
        env=config.terminal_environment() | {"DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise LocalError(f"`apt-get {' '.join(arguments)}` failed: {last}")
