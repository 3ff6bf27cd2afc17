"""`python -m fleetdesk_local <command>`: the commands behind `make up` and its kin."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from pydantic import ValidationError

from fleetdesk_local import assets, browser, children, clock, commands
from fleetdesk_local.config import LocalSettings
from fleetdesk_local.data_dir import DataDir, RunState
from fleetdesk_local.errors import LocalError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. What a person must put right is one sentence."""
    options = _parser().parse_args(arguments)
    try:
        settings = _settings()
        return _run(options, settings, DataDir(settings.data_dir.absolute()))
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace, settings: LocalSettings, data: DataDir) -> int:
    match options.command:
        case "up":
            _up(settings, data, detach=options.detach, reload=options.reload)
        case "status":
            return 0 if commands.status(data, _say) else 1
        case "logs":
            commands.follow_logs(data, options.process)
        case "clock":
            data.create()
            offset = clock.advance(data, clock.parse_duration(options.advance))
            _say(f"the fleet clock is {offset} ahead")
        case "integrator":
            from fleetdesk_local import integrators

            if options.remove:
                asyncio.run(integrators.dismiss(settings, data, options.tenant, _say))
            else:
                asyncio.run(integrators.admit(settings, data, options.tenant, _say))
        case name:
            _SIMPLE[name](settings, data)
    return 0


def _up(settings: LocalSettings, data: DataDir, *, detach: bool, reload: bool) -> None:
    data.create()
    with data.exclusive() as ours:
        if not ours:
            _say(data.read_state().message or "the fleet is starting already")
            return
        if not detach:
            asyncio.run(_stay_up(settings, data, reload=reload))
    if detach:
        commands.up_detached(data, _say)


async def _stay_up(settings: LocalSettings, data: DataDir, *, reload: bool) -> None:
    # Here and not above: the other commands need none of the libraries that a fleet needs.
    from fleetdesk_local.fleet import Fleet

    runner = data.runner_file
    data.write_state(RunState("starting"))
    children.write_pid_file(runner, os.getpid())
    try:
        await Fleet(settings, data, _say, reload=reload).run()
    except LocalError as error:
        data.write_state(RunState("failed", str(error)))
        raise
    else:
        if data.path.exists():
            data.write_state(RunState("stopped"))
    finally:
        runner.unlink(missing_ok=True)


def _settings() -> LocalSettings:
    try:
        return LocalSettings()
    except ValidationError as error:
        wrong = error.errors()[0]
        name = "_".join(str(part) for part in wrong["loc"]).upper()
        raise LocalError(f"FLEETDESK_{name} is not right: {wrong['msg']}.") from None


def _say(sentence: str) -> None:
    print(sentence, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fleetdesk_local", description=__doc__)
    named = parser.add_subparsers(dest="command", required=True)
    up = named.add_parser("up", help="bring the fleet up and stay until Ctrl-C")
    up.add_argument("--detach", action="store_true", help="return when it is ready")
    up.add_argument("--reload", action="store_true", help="restart a service when its code changes")
    named.add_parser("down", help="stop the fleet")
    named.add_parser("reset", help="stop the fleet and delete its data")
    named.add_parser("status", help="say what runs")
    logs = named.add_parser("logs", help="show and follow logs")
    logs.add_argument("process", nargs="*", help="of these only, such as gateway or postgres")
    moved = named.add_parser("clock", help="move the fleet clock forward")
    moved.add_argument("--advance", required=True, metavar="24h", help="by how much")
    listener = named.add_parser("integrator", help="let a tenant's own program hear its events")
    listener.add_argument("--tenant", required=True, type=UUID, help="id of the tenant")
    listener.add_argument("--remove", action="store_true", help="shut it out again")
    named.add_parser("psql", help="open the database as its administrator")
    named.add_parser("migrate", help="bring the tables of a running fleet up to date")
    named.add_parser("assets", help="build the pages' scripts and styles")
    named.add_parser("browser", help="install the browser that the tests drive")
    return parser


_SIMPLE: Mapping[str, Callable[[LocalSettings, DataDir], object]] = {
    "down": lambda _, data: commands.down(data, _say),
    "reset": lambda _, data: commands.reset(data, _say),
    "psql": commands.open_psql,
    "migrate": lambda settings, data: commands.migrate(settings, data, _say),
    "assets": lambda *_: assets.ensure_assets(),
    "browser": lambda *_: browser.ensure_browser(_say),
}
