"""Rectangles of a frame."""

from collections.abc import Iterable
from dataclasses import dataclass

from vision_agent.frames.images import Gray


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the frame."""

    x: int
    y: int
    width: int
    height: int

    def overlaps(self, other: "Box") -> bool:
        """Whether they have a pixel in common."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


def grown(box: Box, shape: tuple[int, ...], by: int) -> Box:
    """The rectangle with so many pixels more on each side, within the frame."""
    x, y = max(box.x - by, 0), max(box.y - by, 0)
    right, bottom = min(box.x + box.width + by, shape[1]), min(box.y + box.height + by, shape[0])
    return Box(x, y, right - x, bottom - y)


def cut(array: Gray, box: Box) -> Gray:
    """The rectangle's pixels, not copied."""
    return array[box.y : box.y + box.height, box.x : box.x + box.width]


def within(box: Box, other: Box) -> Box:
    """The rectangle as seen from the corner of another one."""
    return Box(box.x - other.x, box.y - other.y, box.width, box.height)


def around(one: Box, other: Box) -> Box:
    """The smallest rectangle that holds both."""
    x, y = min(one.x, other.x), min(one.y, other.y)
    right = max(one.x + one.width, other.x + other.width)
    bottom = max(one.y + one.height, other.y + other.height)
    return Box(x, y, right - x, bottom - y)


def united(boxes: Iterable[Box]) -> list[Box]:
    """The rectangles, those that overlap made one, so that none do."""
    found: list[Box] = []
    for box in boxes:
        joined = box
        while (other := next((b for b in found if b.overlaps(joined)), None)) is not None:
            found.remove(other)
            joined = around(joined, other)
        found.append(joined)
    return found
