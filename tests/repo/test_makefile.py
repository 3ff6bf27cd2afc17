"""The commands: each is there, and says what it does."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROMISED = {
    *("help", "up", "down", "reset", "setup", "protos", "fmt", "lint", "type", "test", "e2e"),
    *("eval", "load", "clock", "dev", "migrate", "logs", "psql", "clean", "release-protos"),
}


def phony() -> set[str]:
    text = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^\.PHONY: (\S+)$", text, re.MULTILINE))


def test_help_has_a_line_for_each_target():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = re.findall(r"^  make (\S+) +\S", done.stdout, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == phony()
    assert phony() >= PROMISED


def test_ci_runs_what_a_person_runs():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["exec make test"]
