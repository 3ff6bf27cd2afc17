"""A small disk for NATS that can be full: a tmpfs, which only root may mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Room for what the streams reserve; a tmpfs takes memory only for what is written.
_ROOMY = "16g"
_LEFT_BYTES = 32_768


class Disk:
    """A mounted tmpfs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fill(self) -> None:
        """Leaves next to no room."""
        state = os.statvfs(self._folder)
        used = (state.f_blocks - state.f_bfree) * state.f_frsize
        self._resize(str(used + _LEFT_BYTES))

    def enlarge(self) -> None:
        """Gives it room again."""
        self._resize(_ROOMY)

    def _resize(self, size: str) -> None:
        options = f"remount,size={size}"
        subprocess.run(["mount", "-o", options, str(self._folder)], check=True)


def why_not() -> str | None:
    """Why no disk can be mounted here; None when it can."""
    if os.geteuid() != 0:
        return "only root may mount a small disk"
    mounted = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no disk can be mounted here: {mounted.stderr.strip()}" if mounted.returncode else None


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """A tmpfs on `folder`, unmounted at the end."""
    folder.mkdir(parents=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_ROOMY}", "tmpfs", str(folder)], check=True
    )
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
