"""`make chaos`: every fault in turn, then a storm of them; prints tables."""

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chaos import circus, scenarios
from chaos.disk import disk, why_not
from chaos.rig import Rig, rig
from chaos.scenarios import Row
from chaos.storm import Outcome, storm

Scenario = Callable[[Rig], Awaitable[Row]]
_EVENTS = 1_000
# The relay waits for the stream's word after so many.
_BATCH = 200
# Fewer than a consumer handles at once.
_TOGETHER = 30


async def _one_by_one() -> list[Row]:
    """Each fault on servers of its own."""
    alone: list[Scenario] = [
        lambda made: scenarios.relay_killed_before_publishing(made, _EVENTS),
        lambda made: scenarios.relay_killed_before_marking(made, _BATCH),
        lambda made: scenarios.consumer_killed_before_acknowledging(made, _EVENTS),
        lambda made: scenarios.consumer_killed_in_a_batch(made, _TOGETHER),
        lambda made: scenarios.slow_link(made, 100),
        lambda made: scenarios.cut_link(made, _EVENTS, cuts=10),
        scenarios.job_killed,
    ]
    rows: list[Row] = []
    for scenario in alone:
        with tempfile.TemporaryDirectory(prefix="fleetdesk-chaos-") as folder:
            async with rig(_open(folder)) as made:
                rows.append(await scenario(made))
                _print(rows[-1])
    return [*rows, await _full_disk()]


async def _full_disk() -> Row:
    reason = why_not()
    if reason is not None:
        row = Row("disk of NATS full", 0, 0.0, f"skipped: {reason}")
    else:
        with ExitStack() as stack:
            folder = _open(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetdesk-chaos-"))
            )
            small = stack.enter_context(disk(folder / "bus" / "nats" / "store"))
            async with rig(folder) as made:
                row = await scenarios.full_disk(made, small, _EVENTS)
    _print(row)
    return row


async def _storm(events: int, every_s: float, seed: int) -> None:
    with tempfile.TemporaryDirectory(prefix="fleetdesk-chaos-") as folder:
        async with rig(_open(folder)) as made:
            _print_storm(await storm(made, events, every_s=every_s, seed=seed), every_s)


def _open(folder: str) -> Path:
    """PostgreSQL runs as another user when we are root."""
    path = Path(folder)
    path.chmod(0o711)
    return path


def _print(row: Row) -> None:
    note = f"  {row.note}" if row.note else ""
    print(f"{row.fault:46} {row.events:>6} {row.seconds:>8.1f}{note}", flush=True)


def _print_storm(outcome: Outcome, every_s: float) -> None:
    kills = sum(len(times) for times in outcome.recoveries_s.values())
    print(
        f"\nstorm: {outcome.events} events in {outcome.seconds:.0f} s, {outcome.duplicates} of them"
        f" published twice, 5 % refused at first, {kills} kills (at most one in {every_s:.0f} s);"
        f" each handled exactly once, nothing lost; {outcome.uncertain} written in transactions"
        " whose commit nobody heard of\n"
    )
    print(f"{'kill -9 of':20} {'times':>5}   seconds until a new event went all the way")
    print(f"{'':26}   {'median':>6} {'longest':>8}")
    for name, times in sorted(outcome.recoveries_s.items()):
        print(f"{name:20} {len(times):>5}   {statistics.median(times):>6.1f} {max(times):>8.1f}")


async def _main(arguments: argparse.Namespace) -> None:
    began = time.monotonic()
    if not arguments.only_storm:
        print(f"{'fault':46} {'events':>6} {'seconds':>8}  until all were handled, once each")
        await _one_by_one()
        _print(await circus.killed())
    await _storm(arguments.events, arguments.every, arguments.seed)
    print(f"\nall of it took {time.monotonic() - began:.0f} s")


def main() -> None:
    """Parse the arguments and run; an AssertionError says what was lost or doubled."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--every", type=float, default=4.0, help="seconds between kills, at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only-storm", action="store_true")
    # The pool's own lines about servers that were killed.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
