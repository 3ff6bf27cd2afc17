"""The browser that the end-to-end tests drive: Debian's chromium without a window."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from fleetdesk_local import config
from fleetdesk_local.errors import LocalError

# The shell is the same browser without what draws windows: a page costs a quarter of the CPU.
_SHELL = "chromium-headless-shell"
_NAMES = (_SHELL, "chromium", "chromium-browser", "google-chrome")

Say = Callable[[str], None]


def find_browser() -> Path | None:
    """The browser, if one is installed."""
    found = (shutil.which(name) for name in _NAMES)
    return next((Path(path) for path in found if path), None)


def ensure_browser(say: Say) -> None:
    """Install the browser where that is possible; else say what to do, which in CI is an error.

    Another Chromium that is there does where the shell can't be installed.
    """
    if shutil.which(_SHELL):
        return
    other = find_browser()
    advice = f"Chromium is missing: `apt-get install {_SHELL}` as root"
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say("installing Chromium's headless shell for the tests in a browser")
        try:
            for command in (["update"], ["install", "--yes", "--no-install-recommends", _SHELL]):
                _apt_get(command)
        except LocalError as error:
            if other is None:
                raise
            say(f"{error}; the tests use {other}, which takes longer.")
    elif other is None and config.in_ci():
        raise LocalError(f"{advice}; in CI its tests are never skipped.")
    elif other is None:
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
