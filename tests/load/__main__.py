"""`make load`: the speed and the memory of a whole fleet on this machine, as tables."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.help_centre import has_archive
from harness.local_fleet import LocalFleet

from . import ingest, machine, processes, reads, turns
from .tables import table

VISITORS = (1, 16)
# Visitors, and how long each reads an answer. The CPU of a turn is that of the last row.
_TALKS = ((1, 0.0), (16, 4.0), (16, 0.0))
# What starting up and teaching left to do is done by then.
_SETTLE_S = 30.0
_LEFT_S = 1.0


async def measure(fleet: LocalFleet, seconds: float, pages: int) -> str:
    """All figures of a running fleet; each measurement takes about `seconds`."""
    async with fleet.client() as client:
        await turns.teach(client)
        await asyncio.sleep(_SETTLE_S)
        before = processes.of_processes(fleet)
        rest = await _at_rest(fleet, seconds)
        talks: list[turns.Turns] = []
        spent: dict[str, float] = {}
        for visitors, pause_s in _TALKS:
            spent = processes.cpu_of_processes(fleet)
            talks.append(
                await turns.measure(client, fleet.demo.agent_id, visitors, pause_s, seconds)
            )
        # What a turn leaves behind is of the turn, too.
        await asyncio.sleep(_LEFT_S)
        of_turns = processes.Spent.between(
            spent, processes.cpu_of_processes(fleet), len(talks[-1].whole_s)
        )
        gateway = fleet.process("gateway").pid
        read = [await reads.measure(client, gateway, n, seconds) for n in VISITORS]
        after = processes.of_processes(fleet)
        ingested = await ingest.measure(fleet, pages) if pages else []
    return "\n".join(
        [
            "### Turns\n",
            table(turns.HEAD, [talk.row() for talk in talks]),
            f"### CPU of a turn with {talks[-1].visitors} visitors who never pause, and at rest\n",
            table(processes.CPU_HEAD, processes.cpu_rows(of_turns, rest)),
            "### `GET /v1/me`\n",
            table(reads.HEAD, [each.row() for each in read]),
            "### Memory\n",
            table(processes.HEAD, processes.rows(before, after)),
            *(
                ["### A website\n", table(ingest.HEAD, [each.row() for each in ingested])]
                if ingested
                else []
            ),
        ]
    )


async def _at_rest(fleet: LocalFleet, seconds: float) -> processes.Spent:
    """The CPU that a fleet takes while nobody asks for anything."""
    before = processes.cpu_of_processes(fleet)
    await asyncio.sleep(seconds)
    return processes.Spent.between(before, processes.cpu_of_processes(fleet), seconds)


def main() -> None:
    """Start a fleet twice (with empty data, then with what it kept), measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--pages", type=int, default=100, help="of the website, 0 for none")
    options = parser.parse_args()
    pages = options.pages if has_archive() else 0
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with ingest.own_fleet(data, keep=True) as first:
            empty = first.seconds_to_ready
        with ingest.own_fleet(data) as fleet:
            kept = fleet.seconds_to_ready
            figures = asyncio.run(measure(fleet, options.seconds, pages))
    print(f"Measured on {machine.describe()}.\n")
    print("### Time to ready\n")
    print(table(["data", "seconds"], [["empty", f"{empty:.1f}"], ["kept", f"{kept:.1f}"]]))
    print(figures)
    if not pages:
        print("No website was read: its archive is not there.\n")


if __name__ == "__main__":
    main()
