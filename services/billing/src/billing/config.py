"""Settings of billing, from the environment."""

from typing import ClassVar

from fleetkit.config import FleetSettings


class Settings(FleetSettings):
    """What billing needs beside every service's settings; `FLEETDESK_<NAME>`."""

    service: ClassVar[str] = "billing"

    default_plan: str = "free"
    """The plan of a tenant that signs up without choosing one."""
