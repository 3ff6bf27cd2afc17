"""The health dot."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.views.frame import Tone


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """Whether a service answers."""

    name: str
    up: bool


@dataclass(frozen=True, slots=True)
class Health:
    """All of them, in a word."""

    word: str
    tone: Tone
    services: tuple[ServiceHealth, ...]


def health_view(services: Sequence[ServiceHealth]) -> Health:
    """The dot for these services."""
    down = [service for service in services if not service.up]
    if not down:
        return Health("All up", "good", tuple(services))
    tone = "bad" if len(down) == len(services) else "warn"
    return Health(f"{len(down)} not answering", tone, tuple(services))
