"""What the commands other than `up` do."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

import psutil

from fleetdesk_local import children, config, ports
from fleetdesk_local.account import Account
from fleetdesk_local.config import LocalSettings
from fleetdesk_local.data_dir import DataDir, RunState
from fleetdesk_local.errors import LocalError
from fleetdesk_local.postgres_cluster import end_orphan
from fleetdesk_local.postgres_wheel import reachable_binaries
from fleetdesk_local.roster import SERVICES

_UP_PATIENCE_S = 300.0
_DOWN_PATIENCE_S = 90.0
_POLL_S = 0.1

Say = Callable[[str], None]


def up_detached(data: DataDir, say: Say) -> None:
    """Start `up` in a session of its own and wait until the fleet is ready; LocalError if not."""
    data.write_state(RunState("starting"))
    data.logs.mkdir(exist_ok=True)
    with (data.logs / "up.log").open("ab") as log:
        runner = subprocess.Popen(
            [sys.executable, "-m", "fleetdesk_local", "up"],
            env=config.terminal_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    until = time.monotonic() + _UP_PATIENCE_S
    while time.monotonic() < until:
        ended = runner.poll() is not None
        state = data.read_state()
        if state.phase == "up":
            say(state.message)
            return
        if state.phase == "failed" or ended:
            raise LocalError(state.message or f"The fleet did not start: see {data.logs}/up.log.")
        time.sleep(_POLL_S)
    runner.terminate()
    raise LocalError(f"The fleet was not ready in {_UP_PATIENCE_S:.0f} s: see {data.logs}/up.log.")


def down(data: DataDir, say: Say) -> None:
    """Stop the fleet and wait until it has stopped; also what a killed runner left."""
    runner = _runner(data)
    if runner is not None:
        children.end(runner, ((signal.SIGTERM, _DOWN_PATIENCE_S), (signal.SIGKILL, 5.0)))
    left = children.end_orphans(data.run)
    end_orphan((data.path / "postgres").resolve())
    say("the fleet is down" if runner or left else "the fleet was not up")


def reset(data: DataDir, say: Say) -> None:
    """Stop the fleet and delete its data."""
    down(data, say)
    data.remove()
    say(f"{data.path} is deleted")


def status(data: DataDir, say: Say) -> bool:
    """Say what runs; returns whether the fleet is up."""
    state = data.read_state()
    running = _runner(data) is not None
    for name in ("postgres", "nats", *SERVICES):
        process = children.read_pid_file(children.pid_file(data.run, name))
        if process is None:
            say(f"{name:13} –")
        else:
            memory_mb = process.memory_info().rss / 1e6
            say(f"{name:13} pid {process.pid:<8} {memory_mb:6.0f} MB")
    up = running and state.phase == "up"
    say(state.message if up else "the fleet is not up: run `make up`")
    return up


def open_psql(settings: LocalSettings, data: DataDir) -> None:
    """Become `psql`, the wheel's own, on the fleet's database, as its administrator."""
    from fleetkit.postgres.provision import DATABASE

    executable = reachable_binaries(Account.current()) / "psql"
    server = urlsplit(_admin_url(settings, data))
    # In the environment: everybody can see a command line.
    login = {
        "PGHOST": server.hostname or "",
        "PGPORT": str(server.port or 5432),
        "PGUSER": unquote(server.username or ""),
        "PGPASSWORD": unquote(server.password or ""),
        "PGDATABASE": DATABASE,
    }
    os.execve(executable, ["psql"], config.terminal_environment() | login)


def migrate(settings: LocalSettings, data: DataDir, say: Say) -> None:
    """Bring the tables of a running fleet up to date; LocalError when it does not run."""
    from fleetdesk_local.servers import migrate_all

    asyncio.run(migrate_all(_admin_url(settings, data), data))
    say("the tables are up to date")


def _admin_url(settings: LocalSettings, data: DataDir) -> str:
    if settings.postgres_url is not None:
        return settings.postgres_url.get_secret_value()
    if _runner(data) is None:
        raise LocalError("The fleet is not up: run `make up` first.")
    from fleetdesk_local.postgres import PostgresServer

    port = ports.stored(data.path / "postgres.port.json")["postgres"]
    return PostgresServer(data.path, port=port).admin_url


def follow_logs(data: DataDir, names: list[str]) -> None:
    """Show the last lines of the logs and go on showing; all of them when none is named."""
    known = sorted(path.stem for path in data.logs.glob("*.log"))
    unknown = set(names) - set(known)
    if unknown or not known:
        raise LocalError(f"There is no log of that: there are {', '.join(known) or 'none yet'}.")
    files = [str(data.logs / f"{name}.log") for name in names or known]
    command = ["tail", "-n", "20", "-F", *files]
    os.execvpe(command[0], command, config.terminal_environment())


def _runner(data: DataDir) -> psutil.Process | None:
    return children.read_pid_file(data.runner_file)
