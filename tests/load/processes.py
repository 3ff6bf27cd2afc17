"""Memory and CPU of each process of a fleet, with what it started itself."""

from collections.abc import Mapping

import psutil
from fleetdesk_local.roster import SERVICES
from harness.local_fleet import LocalFleet

HEAD = ["process", "processes", "MB at rest", "MB under load"]
CPU_HEAD = ["process", "CPU ms of a turn", "share"]
MODELS = "llm-gateway's models"
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


def cpu_s(pid: int) -> float:
    """Seconds of CPU that one process has taken so far."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def cpu_of_processes(fleet: LocalFleet) -> dict[str, float]:
    """Seconds of CPU so far by name; what runs models in a process of its own is apart."""
    spent: dict[str, float] = {}
    for name in PROCESSES:
        process = fleet.process(name)
        children = sum(cpu_s(child.pid) for child in process.children(recursive=True))
        own = cpu_s(process.pid)
        if name == "llm-gateway":
            spent[name], spent[MODELS] = own, children
        else:
            spent[name] = own + children
    return spent


def cpu_rows(
    before: Mapping[str, float], after: Mapping[str, float], turns: int
) -> list[list[str]]:
    """A row for each process with what a turn took of it, then the sums with and without models."""
    taken = {name: (after[name] - before[name]) / max(turns, 1) * 1000 for name in after}
    whole = sum(taken.values())
    taken["all"], taken["all but the models"] = whole, whole - taken[MODELS]
    return [[name, f"{ms:.1f}", f"{ms / max(whole, 1e-9):.0%}"] for name, ms in taken.items()]


def _family(process: psutil.Process) -> tuple[int, float]:
    family = [process, *process.children(recursive=True)]
    return len(family), sum(_pss_bytes(member) for member in family) / 1e6


def _pss_bytes(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.NoSuchProcess:
        return 0
