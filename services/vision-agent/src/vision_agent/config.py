"""Settings of vision-agent, from the environment."""

from typing import ClassVar

from fleetkit.config import FleetSettings
from pydantic import Field


class Settings(FleetSettings):
    """What vision-agent needs beside every service's settings; `FLEETDESK_<NAME>`."""

    service: ClassVar[str] = "vision-agent"

    max_screens: int = Field(default=64, ge=1, le=10_000)
    """Shared screens remembered at once, some 4 MB each at 1080p; of too many, the longest unseen
    of the tenant that has the most goes first."""
    max_screens_of_tenant: int = Field(default=32, ge=1, le=10_000)
    """Of them one tenant's."""
    screen_ttl_s: float = Field(default=120.0, gt=0)
    """A screen that is not heard of for so long is forgotten."""
    min_frame_interval_ms: int = Field(default=400, ge=0, le=60_000)
    """Frames that come sooner after the one before are ignored."""
    frame_interval_ms: int = Field(default=1_000, ge=100, le=60_000)
    """The pause that a response asks for."""
    heartbeat_s: float = Field(default=10.0, gt=0, le=25)
    """How often an unchanged screen is said to be still there; answers forget one after 30 s."""
    readers: int = Field(default=2, ge=1, le=64)
    """Frames that are read at once."""
    read_timeout_s: float = Field(default=30.0, gt=0, le=110)
    """The longest that reading one frame may take."""
    stats_interval_s: float = Field(default=2.0, gt=0, le=60)
    """How often counts are written."""
