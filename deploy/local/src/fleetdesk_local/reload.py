"""For `make dev`: restarts a service when its code changes, all when the libraries do."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from fleetdesk_local.config import REPOSITORY
from fleetdesk_local.supervisor import Supervisor

_POLL_S = 0.7
_WATCHED = {".py", ".sql", ".toml", ".yaml", ".html", ".json"}


async def restart_on_change(
    supervisor: Supervisor, services: Sequence[str], repository: Path = REPOSITORY
) -> None:
    """Look at the code of `services` and restart those that changed; runs until cancelled."""
    seen = {name: _newest(repository, name) for name in services}
    while True:
        await asyncio.sleep(_POLL_S)
        for name in services:
            newest = _newest(repository, name)
            if newest != seen[name]:
                seen[name] = newest
                print(f"{name} changed: restarting it", flush=True)
                await supervisor.restart(name)


def _newest(repository: Path, service: str) -> tuple[int, int]:
    """Latest change in ns, and number of files, of what the service is made from."""
    folders = (repository / "services" / service / "src", repository / "libs")
    changes = [entry.stat().st_mtime_ns for folder in folders for entry in _files(folder)]
    return max(changes, default=0), len(changes)


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and entry.name != "__pycache__":
                yield from _files(Path(entry.path))
            elif Path(entry.name).suffix in _WATCHED:
                yield entry
