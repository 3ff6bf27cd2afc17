"""A program to run under watch."""

import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Program:
    """What to start and how to stop it.

    Output goes to `log_file`. `user` and `group` are numbers, None for our own. Stopping sends
    `stop_signal`, and kills after `stop_patience_s`.
    """

    name: str
    argv: tuple[str, ...]
    log_file: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    working_dir: Path = Path("/")
    user: int | None = None
    group: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_patience_s: float = 15.0

    def last_line(self) -> str:
        """The last line that it logged, for a message to a person."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(0, 2)
                log.seek(max(0, log.tell() - 16_384))
                lines = log.read().decode(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return _in_words(lines[-1]) if lines else "it said nothing"


def _in_words(line: str) -> str:
    """A log line for a person: what a service's JSON says, without times and stacks."""
    try:
        content = json.loads(line)
    except ValueError:
        return line
    if not isinstance(content, dict):
        return line
    said = content.get("problem") or content.get("error")
    event = str(content.get("event", "")).replace("_", " ")
    return f"{event}: {said}" if said else event or line
