"""Settings of vision-agent, from the environment."""

from typing import ClassVar

from fleetkit.config import FleetSettings


class Settings(FleetSettings):
    """What vision-agent needs beside every service's settings; `FLEETDESK_<NAME>`."""

    service: ClassVar[str] = "vision-agent"
