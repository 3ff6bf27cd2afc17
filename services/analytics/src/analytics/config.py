"""Settings of analytics, from the environment."""

from typing import ClassVar

from fleetkit.config import FleetSettings


class Settings(FleetSettings):
    """What analytics needs beside every service's settings; `FLEETDESK_<NAME>`."""

    service: ClassVar[str] = "analytics"
