"""Memory of each process of a fleet, with what it started itself."""

from collections.abc import Mapping

import psutil
from fleetdesk_local.roster import SERVICES
from harness.local_fleet import LocalFleet

HEAD = ["process", "processes", "MB at rest", "MB under load"]
PROCESSES = (*SERVICES, "nats", "postgres")


def of_processes(fleet: LocalFleet) -> dict[str, tuple[int, float]]:
    """Number of processes and their memory in MB (shared pages counted once), by name."""
    return {name: _family(fleet.process(name)) for name in PROCESSES}


def rows(
    before: Mapping[str, tuple[int, float]], after: Mapping[str, tuple[int, float]]
) -> list[list[str]]:
    """A row for each process, and their sum."""
    listed = [
        [name, str(after[name][0]), f"{before[name][1]:.0f}", f"{after[name][1]:.0f}"]
        for name in PROCESSES
    ]
    count = sum(after[name][0] for name in PROCESSES)
    rest = sum(before[name][1] for name in PROCESSES)
    load = sum(after[name][1] for name in PROCESSES)
    return [*listed, ["all", str(count), f"{rest:.0f}", f"{load:.0f}"]]


def _family(process: psutil.Process) -> tuple[int, float]:
    family = [process, *process.children(recursive=True)]
    return len(family), sum(_pss_bytes(member) for member in family) / 1e6


def _pss_bytes(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.NoSuchProcess:
        return 0
