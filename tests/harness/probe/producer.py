"""`python -m harness.probe.producer`: a process that does nothing but relay its outbox."""

from fleetkit.service import Runtime, cli

from harness.probe.settings import ProducerSettings


def build(rt: Runtime) -> None:
    """The relay runs in every service."""


if __name__ == "__main__":
    cli(ProducerSettings, build, "harness.probe")
