"""Connected parts of what differs between two frames."""

from dataclasses import dataclass

import cv2
import numpy as np

from vision_agent.frames.boxes import Box, cut
from vision_agent.frames.images import Gray

# Parts of one shape are at most so far apart; parts of fewer pixels are the compression's.
JOIN = np.ones((11, 11), np.uint8)
TOUCH = np.ones((3, 3), np.uint8)
MIN_PIXELS = 4
_MOST = 12


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A connected change: its mask, where it is, and how many pixels it has."""

    mask: Gray
    box: Box
    pixels: int

    @property
    def fill(self) -> float:
        """The share of its rectangle that it has."""
        return self.pixels / self.mask.size


def parts_in(mask: Gray, at: Box, regions: list[Box]) -> list[Part] | None:
    """The connected parts of a mask that is `at` of the frame and holds something in the regions.

    They are farther apart than parts of one shape. None where the parts are very many.
    """
    found: list[Part] = []
    for region in regions:
        place = Box(at.x + region.x, at.y + region.y, region.width, region.height)
        parts = None if len(found) >= _MOST else parts_of(cut(mask, region), JOIN, place)
        if parts is None or len(found) + len(parts) > _MOST:
            return None
        found += parts
    return found


def parts_of(mask: Gray, joining: Gray, at: Box) -> list[Part] | None:
    """The connected parts of a mask that is `at` of the frame; None where they are very many."""
    joined = cv2.dilate(mask, joining)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    if count - 1 > _MOST:
        return None
    found: list[Part] = []
    for number in range(1, count):
        x, y, width, height, _ = stats[number].tolist()
        inside = np.s_[y : y + height, x : x + width]
        own = np.where(labels[inside] == number, mask[inside], 0).astype(np.uint8)
        left, top, w, h = cv2.boundingRect(own)
        tight = np.ascontiguousarray(own[top : top + h, left : left + w])
        box = Box(at.x + x + left, at.y + y + top, w, h)
        found.append(Part(tight, box, cv2.countNonZero(tight)))
    return found


def pieces_of(part: Part) -> list[Part]:
    """A part's own pieces: where a pointer moved a little, its two places are one part."""
    pieces = parts_of(part.mask, TOUCH, part.box) or ()
    return [piece for piece in pieces if piece.pixels >= MIN_PIXELS]


def filled(mask: Gray) -> Gray:
    """The mask without its holes."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros_like(mask)
    cv2.drawContours(whole, contours, -1, (1,), cv2.FILLED)
    return whole
