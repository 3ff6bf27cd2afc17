"""Settings over the schema `probe`, in the name of various services."""

from pathlib import Path

from fleetkit.config import FleetSettings


class ProbeSettings(FleetSettings):
    """Of no service: tests of fleetkit only."""

    service = "probe"


class ProducerSettings(FleetSettings):
    """Speaks as the gateway, whose events tests publish."""

    service = "gateway"


class ConsumerSettings(FleetSettings):
    """Listens as billing does."""

    service = "billing"

    disorder_percent: int = 0
    die_file: Path | None = None
    hold_file: Path | None = None
