"""`python -m harness.probe`: a process of fleetkit's own, for the tests of a process's life."""

from fleetkit.service import cli

from harness.probe.main import build
from harness.probe.settings import ProbeSettings

if __name__ == "__main__":
    cli(ProbeSettings, build, "harness.probe")
