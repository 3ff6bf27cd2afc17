"""`make load`: the speed and the memory of a whole fleet on this machine, as tables."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.local_fleet import LocalFleet, local_fleet

from . import machine, processes, reads, turns
from .tables import table

VISITORS = (1, 16)


async def measure(fleet: LocalFleet, seconds: float) -> str:
    """All figures of a running fleet; each measurement takes about `seconds`."""
    before = processes.of_processes(fleet)
    async with fleet.client() as client:
        await turns.teach(client)
        talks: list[turns.Turns] = []
        spent: list[dict[str, float]] = []
        for visitors in VISITORS:
            spent.append(processes.cpu_of_processes(fleet))
            talks.append(await turns.measure(client, fleet.demo.agent_id, visitors, seconds))
        spent.append(processes.cpu_of_processes(fleet))
        gateway = fleet.process("gateway").pid
        read = [await reads.measure(client, gateway, n, seconds) for n in VISITORS]
    after = processes.of_processes(fleet)
    return "\n".join(
        [
            "## Turns\n",
            table(turns.HEAD, [talk.row() for talk in talks]),
            f"## CPU of a turn with {VISITORS[-1]} visitors\n",
            table(
                processes.CPU_HEAD, processes.cpu_rows(spent[-2], spent[-1], len(talks[-1].whole_s))
            ),
            "## `GET /v1/me`\n",
            table(reads.HEAD, [each.row() for each in read]),
            "## Memory\n",
            table(processes.HEAD, processes.rows(before, after)),
        ]
    )


def main() -> None:
    """Start a fleet twice (with empty data, then with what it kept), measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with local_fleet(data, keep=True) as first:
            empty = first.seconds_to_ready
        with local_fleet(data) as fleet:
            kept = fleet.seconds_to_ready
            figures = asyncio.run(measure(fleet, seconds))
    print(f"Measured on {machine.describe()}.\n")
    print("## Time to ready\n")
    print(table(["data", "seconds"], [["empty", f"{empty:.1f}"], ["kept", f"{kept:.1f}"]]))
    print(figures)


if __name__ == "__main__":
    main()
