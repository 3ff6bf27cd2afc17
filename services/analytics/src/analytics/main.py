"""Composes analytics."""

from fleetkit.service import Runtime, cli

from analytics.config import Settings


def build(rt: Runtime) -> None:
    """Adds nothing yet."""


def main() -> None:
    """Runs the command line."""
    cli(Settings, build, "analytics")
