"""The cluster: PostgreSQL's data folder. Where it is kept, who owns it, how it is made."""

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from fleetdesk_local import children
from fleetdesk_local.account import Account
from fleetdesk_local.errors import LocalError
from fleetdesk_local.postgres_wheel import STATE_HOME

SUPERUSER = "postgres"
# Hashing a password thousands of times, as every connection does, is for passwords that are kept.
_SCRATCH = ("--no-sync", "--set=scram_iterations=1")
# SIGINT disconnects the clients; on SIGTERM the server would wait for them.
_STOP = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))


def ensure_cluster(
    data_dir: Path,
    binaries: Path,
    account: Account,
    state_home: Path = STATE_HOME,
    *,
    durable: bool = True,
) -> Path:
    """The folder of the cluster, made when there is none, reachable and owned by `account`.

    It is `<data_dir>/postgres`, or what that links to: a folder under `state_home` when `account`
    can't pass the folders above `data_dir`. The superuser's password is in
    `<data_dir>/postgres.password`. Without `durable`, a new one is not written through to the disk,
    and its passwords are hashed once.
    Raises LocalError when the data belongs to another user.
    """
    link = data_dir / "postgres"
    cluster = link.resolve()
    if not cluster.exists():
        options = ("--sync-method=fsync",) if durable else _SCRATCH
        _make(data_dir, state_home, binaries / "initdb", account, options)
        cluster = link.resolve()
    if cluster.stat().st_uid != account.uid:
        raise LocalError(
            f"The database in {link} belongs to another user: run as that user, or remove the "
            "data with `make reset` as that user or root."
        )
    if account.can("test", "-w", cluster):
        return cluster
    return _move_outside(cluster, link, account, state_home)


def password_file(data_dir: Path) -> Path:
    """Where the superuser's password is kept, mode 0600."""
    return data_dir / "postgres.password"


def remove_cluster(data_dir: Path) -> None:
    """Delete the cluster of `data_dir` wherever it is kept; the server must not run."""
    link = data_dir / "postgres"
    cluster = link.resolve()
    if cluster.exists():
        shutil.rmtree(cluster)
    link.unlink(missing_ok=True)


def end_orphan(cluster: Path) -> None:
    """End a server that an earlier, killed run left on this cluster."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
        process = psutil.Process(pid)
        ours = str(cluster) in process.cmdline()
    except (OSError, ValueError, IndexError, psutil.Error):
        return
    if ours:
        children.end(process, _STOP)


def _make(
    data_dir: Path, state_home: Path, initdb: Path, account: Account, options: Sequence[str]
) -> None:
    """Make a cluster beside its final place and move it there, so that half of one never counts."""
    scratch = Path(tempfile.mkdtemp(dir=data_dir, prefix="postgres-"))
    account.own(scratch)
    if not account.can("test", "-w", scratch):
        scratch.rmdir()
        state_home.mkdir(parents=True, exist_ok=True, mode=0o755)
        scratch = Path(tempfile.mkdtemp(dir=state_home, prefix="new-"))
        account.own(scratch)
    password = secrets.token_urlsafe(24)
    try:
        _initdb(initdb, scratch, password, account, options)
    except LocalError:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    secret = password_file(data_dir)
    secret.touch(mode=0o600)
    secret.write_text(password)
    link = data_dir / "postgres"
    if scratch.parent == data_dir:
        scratch.rename(link)
    else:
        _adopt_outside(scratch, link, state_home)


def _move_outside(cluster: Path, link: Path, account: Account, state_home: Path) -> Path:
    """Move a cluster that can't be reached any more; the folders above it were closed."""
    state_home.mkdir(parents=True, exist_ok=True, mode=0o755)
    scratch = Path(tempfile.mkdtemp(dir=state_home, prefix="new-"))
    shutil.copytree(cluster, scratch, dirs_exist_ok=True, symlinks=True)
    for path in (scratch, *scratch.rglob("*")):
        os.chown(path, account.uid, -1, follow_symlinks=False)
    shutil.rmtree(cluster)
    link.unlink(missing_ok=True)
    return _adopt_outside(scratch, link, state_home)


def _adopt_outside(scratch: Path, link: Path, state_home: Path) -> Path:
    digest = hashlib.sha256(str(link.absolute()).encode()).hexdigest()[:16]
    home = state_home / digest
    # Left by a data folder of the same name that was deleted by hand.
    shutil.rmtree(home, ignore_errors=True)
    scratch.rename(home)
    link.unlink(missing_ok=True)
    link.symlink_to(home)
    return home


def _initdb(
    executable: Path, cluster: Path, password: str, account: Account, options: Sequence[str]
) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="fleetdesk-") as handed_over:
        handed_over.write(password)
        handed_over.flush()
        account.own(Path(handed_over.name))
        done = subprocess.run(
            [
                str(executable),
                f"--pgdata={cluster}",
                f"--username={SUPERUSER}",
                f"--pwfile={handed_over.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                *options,
            ],
            **account.run_as,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise LocalError(f"PostgreSQL could not make its data folder {cluster}: {reason}")
