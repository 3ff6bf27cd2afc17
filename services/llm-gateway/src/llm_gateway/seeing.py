"""What a provider of reading is given and gives."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_gateway.entries import Meter
from llm_gateway.pricing import Unit


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a picture in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text where it stands in the whole picture; `confidence` is 0–1."""

    text: str
    box: Region
    confidence: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What a picture says; `shows` is a sentence on the rest of it, "" when there is none."""

    lines: Sequence[Line]
    shows: str = ""


class Content(enum.Enum):
    """What a picture of a screen shows."""

    CODE_TEXT = enum.auto()
    STATIC_UI = enum.auto()
    DOCUMENTATION = enum.auto()
    VIDEO = enum.auto()


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture whose size is known from its header; no `regions` means all of it."""

    image: bytes
    width: int
    height: int
    regions: tuple[Region, ...]

    @property
    def pixels(self) -> int:
        """How many pixels are to be read."""
        if not self.regions:
            return self.width * self.height
        return sum(region.width * region.height for region in self.regions)


class SeeProvider(Protocol):
    """Reads pictures. `model` is the provider's own name of the model."""

    @property
    def kinds(self) -> frozenset[Unit]:
        """Every kind of unit that a call may use: each must have a price."""
        ...

    def at_most(self, model: str, picture: Picture) -> Mapping[Unit, int]:
        """An upper bound of the units that reading it takes."""
        ...

    async def see(self, model: str, picture: Picture, meter: Meter) -> Reading:
        """What it says; reports to `meter` what it took, also when it fails."""
        ...
