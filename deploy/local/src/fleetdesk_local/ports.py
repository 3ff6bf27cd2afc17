"""Free TCP ports, chosen once and kept, so that addresses survive restarts."""

import itertools
import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path

from fleetdesk_local.errors import LocalError

_HOST = "127.0.0.1"
_RANGE = range(15_000, 32_000)


def is_free(port: int) -> bool:
    """Whether nothing listens on the port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different.

    They lie below the range that systems hand to outgoing connections: one of those could take a
    service's port while the service restarts.
    """
    # Not a secret: which port is free is for all to see.
    candidates = random.sample(_RANGE, len(_RANGE))
    found = list(itertools.islice((port for port in candidates if is_free(port)), count))
    if len(found) < count:
        raise LocalError(f"No {count} free ports from {_RANGE.start} to {_RANGE.stop - 1}.")
    return found


def assign(path: Path, names: Iterable[str]) -> dict[str, int]:
    """A port for each name: the one stored in `path` where it is still free, else a new one.

    The result is stored in `path` (JSON object, name → port).
    """
    wanted = list(names)
    known = stored(path)
    kept = {name: known[name] for name in wanted if name in known and is_free(known[name])}
    missing = [name for name in wanted if name not in kept]
    kept.update(zip(missing, free_ports(len(missing)), strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=2, sort_keys=True))
    return kept


def stored(path: Path) -> dict[str, int]:
    """The ports that `assign` stored last; none when it never did."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {str(name): port for name, port in content.items() if isinstance(port, int)}
