"""Composes vision-agent."""

from fleetkit.service import Runtime, cli

from vision_agent.config import Settings


def build(rt: Runtime) -> None:
    """Adds nothing yet."""


def main() -> None:
    """Runs the command line."""
    cli(Settings, build, "vision_agent")
