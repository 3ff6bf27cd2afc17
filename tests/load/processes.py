"""Memory and CPU of each process of a fleet, with what it started itself."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import psutil
from fleetdesk_local.roster import SERVICES
from harness.local_fleet import LocalFleet

HEAD = ["process", "processes", "MB at rest", "MB under load"]
CPU_HEAD = ["process", "CPU ms of a turn", "share", "CPU ms a second at rest"]
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


@dataclass(frozen=True)
class Spent:
    """CPU seconds by name, of `units`: turns, or seconds at rest."""

    cpu_s: Mapping[str, float]
    units: float

    @classmethod
    def between(
        cls, before: Mapping[str, float], after: Mapping[str, float], units: float
    ) -> "Spent":
        """What was spent between two looks."""
        return cls({name: after[name] - before[name] for name in after}, units)

    def ms(self, names: Collection[str]) -> float:
        """Milliseconds of a unit, of these together."""
        return sum(self.cpu_s[name] for name in names) / max(self.units, 1) * 1000


def cpu_rows(turns: Spent, rest: Spent) -> list[list[str]]:
    """A row for each process with what a turn took of it, then the sums with and without models."""
    names = list(turns.cpu_s)
    groups = {name: [name] for name in names}
    groups["all"] = names
    groups["all but the models"] = [name for name in names if name != MODELS]
    whole = max(turns.ms(names), 1e-9)
    return [
        [
            label,
            f"{turns.ms(group):.1f}",
            f"{turns.ms(group) / whole:.0%}",
            f"{rest.ms(group):.1f}",
        ]
        for label, group in groups.items()
    ]


def _family(process: psutil.Process) -> tuple[int, float]:
    family = [process, *process.children(recursive=True)]
    return len(family), sum(_pss_bytes(member) for member in family) / 1e6


def _pss_bytes(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.NoSuchProcess:
        return 0
