"""The system account that PostgreSQL runs as: it refuses to run as root."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict


class RunAs(TypedDict, total=False):
    """The keyword arguments of Popen that change the user."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """`nobody` when we are root, else whoever we are."""

    uid: int
    run_as: RunAs

    @classmethod
    def current(cls) -> "Account":
        """The account for a server that this process starts."""
        if os.geteuid() != 0:
            return cls(uid=os.geteuid(), run_as={})
        nobody = pwd.getpwnam("nobody")
        run_as: RunAs = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        return cls(uid=nobody.pw_uid, run_as=run_as)

    def can(self, *command: str | Path) -> bool:
        """Whether the command succeeds as this account."""
        try:
            done = subprocess.run(
                [str(part) for part in command],
                **self.run_as,
                cwd="/",
                capture_output=True,
                timeout=30,
                check=False,
            )
        except (PermissionError, FileNotFoundError):
            return False
        return done.returncode == 0

    def own(self, path: Path) -> None:
        """Give a file or folder to this account; only root has to."""
        if path.stat().st_uid != self.uid:
            os.chown(path, self.uid, -1)
