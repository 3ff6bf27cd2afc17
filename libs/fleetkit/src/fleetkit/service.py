"""The life of a service process: open what it needs, build, serve, drain, close.

A service's main.py ends in `cli(Settings, build, "<package>")`, where `build(rt)` adds servicers,
event handlers and jobs to the `Runtime`.
"""

import argparse
import asyncio
import inspect
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import uvloop
from pydantic import ValidationError

from fleetkit import logging
from fleetkit.bus import Bus
from fleetkit.clock import Clock
from fleetkit.config import FleetSettings
from fleetkit.errors import FleetError, InvalidArgument, NotFound, Unavailable
from fleetkit.events import replay
from fleetkit.health import Health, HealthServer
from fleetkit.logging import get_logger
from fleetkit.postgres import Database
from fleetkit.postgres.migrations import migrate
from fleetkit.rpc.keys import KeyRing
from fleetkit.runtime import Runtime

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 2.0

Build = Callable[[Runtime], Awaitable[None] | None]

__all__ = ["Build", "Runtime", "cli", "opened", "run_service", "serving"]


@asynccontextmanager
async def opened(
    settings: FleetSettings,
    build: Build,
    *,
    health: Health | None = None,
    on_failure: Callable[[], None] = lambda: None,
) -> AsyncIterator[Runtime]:
    """A built `Runtime` that does not serve yet; drains and closes it at the end.

    Waits for PostgreSQL for as long as that takes. ValueError for missing or unsafe keys.
    """
    keyring = KeyRing.load(settings.keys_dir, settings.service)
    async with AsyncExitStack() as stack:
        db = await Database.open(settings)
        stack.push_async_callback(db.close)
        await _wait_for(db)
        bus = Bus(settings)
        stack.push_async_callback(bus.close)
        rt = Runtime(
            settings,
            keyring=keyring,
            clock=Clock.from_settings(settings),
            db=db,
            bus=bus,
            health=health or Health(),
            on_failure=on_failure,
        )
        stack.push_async_callback(rt.drain)
        built = build(rt)
        if inspect.isawaitable(built):
            await built
        yield rt


@asynccontextmanager
async def serving(
    settings: FleetSettings, build: Build, *, on_failure: Callable[[], None] = lambda: None
) -> AsyncIterator[Runtime]:
    """A `Runtime` that serves, on `rt.ports`; drains and closes it at the end.

    The internal HTTP port answers first, also while PostgreSQL is waited for; `port_file` is
    written once all is ready. `on_failure` is called when a background task has failed.
    """
    health = Health()
    internal = HealthServer(health, settings.metrics_bind)
    metrics_port = await internal.start()
    try:
        async with opened(settings, build, health=health, on_failure=on_failure) as rt:
            rt.ports["metrics"] = metrics_port
            await rt.start()
            if settings.port_file is not None:
                _write_ports(settings.port_file, rt.ports)
            get_logger().info("serving", ports=rt.ports)
            yield rt
    finally:
        await internal.stop()


async def run_service(settings: FleetSettings, build: Build) -> int:
    """Serves until SIGTERM, SIGINT or the failure of a background task; the exit code.

    0 when told to stop, 1 after a failure: the supervisor then starts the process anew.
    """
    logging.configure(settings.service, settings.log_level)
    loop = asyncio.get_running_loop()
    logging.log_loop_errors(loop)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        life = serving(settings, build, on_failure=stop.set)
        starting = loop.create_task(stack.enter_async_context(life))
        if not await _done_before(starting, stop):
            return 0
        rt = starting.result()
        await stop.wait()
        get_logger().info("stopping", failed=rt.tasks.failed)
    return 1 if rt.tasks.failed else 0


def cli(
    settings_cls: type[FleetSettings],
    build: Build,
    package: str,
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """The command line of a service: serve, migrate, check-config, replay --since, run NAME.

    Exits with 0, with 1 after a failure, with 2 for wrong settings or arguments.
    """
    arguments = _parser(package).parse_args(argv)
    try:
        settings = settings_cls()  # pyright: ignore[reportCallIssue] - from the environment
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"FLEETDESK_{name}: {problem['msg']}\n")
        sys.exit(2)
    logging.configure(settings.service, settings.log_level)
    try:
        sys.exit(uvloop.run(_run(arguments, settings, build, package)))
    except (FleetError, OSError, ValueError) as error:
        # Not of a request: these speak of ports, files and settings.
        get_logger().critical("command_failed", problem=str(error), exc_info=error)
        sys.exit(1)


def _parser(package: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {package}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="serve until told to stop (the default)")
    commands.add_parser("migrate", help="bring the schema up to date")
    commands.add_parser("check-config", help="read the settings, say what is wrong, and end")
    again = commands.add_parser("replay", help="publish events of the last 30 days again")
    again.add_argument("--since", required=True, type=_time, help="ISO 8601, UTC by default")
    by_hand = commands.add_parser("run", help="run a periodic job now")
    by_hand.add_argument("name")
    return parser


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


async def _run(
    arguments: argparse.Namespace, settings: FleetSettings, build: Build, package: str
) -> int:
    match arguments.command:
        case "migrate":
            await _migrate(settings, package)
        case "check-config":
            sys.stdout.write("the settings are well-formed\n")
        case "replay":
            await _replay(settings, arguments.since)
        case "run":
            await _run_command(settings, build, arguments.name)
        case _:
            return await run_service(settings, build)
    return 0


async def _migrate(settings: FleetSettings, package: str) -> None:
    if settings.postgres_owner_url is None:
        raise InvalidArgument("FLEETDESK_POSTGRES_OWNER_URL is not set: migrate needs it")
    applied = await migrate(settings.postgres_owner_url.get_secret_value(), package)
    sys.stdout.write("".join(f"applied {name}\n" for name in applied) or "nothing to apply\n")


async def _replay(settings: FleetSettings, since: datetime) -> None:
    db = await Database.open(settings)
    try:
        count = await replay(db, since)
    finally:
        await db.close()
    sys.stdout.write(f"{count} events will be published again\n")


async def _run_command(settings: FleetSettings, build: Build, name: str) -> None:
    async with opened(settings, build) as rt:
        command = rt.commands.get(name)
        if command is None:
            known = ", ".join(sorted(rt.commands)) or "none"
            raise NotFound(f"there is no job {name!r}; known: {known}")
        await command()


async def _wait_for(db: Database) -> None:
    """Waits until PostgreSQL answers, with growing pauses; logs the first failure."""
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            return await db.ping()
        except Unavailable as error:
            if wait_s == _FIRST_WAIT_S:
                get_logger().warning("postgres_unreachable", exc_info=error)
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)


async def _done_before(starting: asyncio.Task[Runtime], stop: asyncio.Event) -> bool:
    """Waits for `starting`, and gives it up when `stop` is set first."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if starting.done():
        return True
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    return False


def _write_ports(path: Path, ports: dict[str, int]) -> None:
    """Replaces the file at once: a reader finds all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(ports))
    partial.replace(path)
