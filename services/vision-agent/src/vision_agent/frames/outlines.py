"""The outlines of mouse pointers: an arrow becomes a hand over a link and a bar over text.

Arrows and hands are told by their outlines, stretched to one size. About one letter in a thousand
comes as near, most of them heavy (`python -m tests.eval.letters`).
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vision_agent.frames.boxes import Box
from vision_agent.frames.images import Gray
from vision_agent.frames.parts import Part, filled

_WIDTHS = (7, 40)
_HEIGHTS = (13, 40)
_LONG = 1.15
# Corners in a square, and how near a shape has to come: two arrows, a pointing hand, an open hand.
# The last is so plain that letters come near: it also has to be without holes, and not thicker (the
# radius of the largest circle within, of the height) than it is; round letters are.
_OUTLINES = (
    (((0, 0), (0, 0.8), (0.24, 0.63), (0.5, 1), (0.76, 0.92), (0.52, 0.58), (1, 0.56)), 0.64),
    (((0, 0), (0, 0.76), (0.3, 0.6), (0.66, 1), (0.98, 0.94), (0.62, 0.56), (1, 0.5)), 0.64),
    (((0.32, 0), (0.48, 0), (0.5, 0.4), (0.92, 0.46), (1, 0.55), (1, 0.78), (0.88, 1), (0.36, 1),
      (0, 0.6), (0.04, 0.5), (0.18, 0.54), (0.32, 0.64)), 0.7),
    (((0.22, 0.1), (0.38, 0.06), (0.52, 0), (0.68, 0.06), (0.86, 0.16), (1, 0.3), (1, 0.62),
      (0.86, 1), (0.32, 1), (0, 0.58), (0.06, 0.5), (0.26, 0.6)), 0.8),
)  # fmt: skip
_OPEN_HAND_SOLID = 0.9
_OPEN_HAND_THICKNESS = 0.36
_SIDE = 24
# The pointer over text: a stem with serifs, alike from left and right, from above and below.
_BAR_HEIGHTS = (13, 32)
_BAR_WIDTH = 0.55
_BAR_STEM = 3
# Below that height letters have serifs, too, but no stem of one pixel.
_BAR_SMALL = 15
_BAR_LIKENESS = 0.6


def has_size(box: Box) -> bool:
    """Whether a pointer may be so large."""
    return _WIDTHS[0] <= box.width <= _WIDTHS[1] and _HEIGHTS[0] <= box.height <= _HEIGHTS[1]


def may_hold(box: Box) -> bool:
    """Whether it could be a pointer, or the two places of one that moved a little."""
    return box.width <= 2 * _WIDTHS[1] and box.height <= 2 * _HEIGHTS[1]


def is_pointer(part: Part) -> bool:
    """Whether the part has the outline of a pointer."""
    return _is_outline(part) or _is_bar(part)


def _is_bar(part: Part) -> bool:
    box = part.box
    if not (_BAR_HEIGHTS[0] <= box.height <= _BAR_HEIGHTS[1] and box.width > _BAR_STEM):
        return False
    if box.width > _BAR_WIDTH * box.height:
        return False
    inked = part.mask > 0
    widths = inked.sum(axis=1)
    quarter = box.height // 4
    stem, ends = widths[quarter:-quarter], (widths[:quarter], widths[-quarter:])
    widest = _BAR_STEM if box.height >= _BAR_SMALL else 1
    if stem.max() > widest or not stem.min() or min(end.max() for end in ends) <= stem.max():
        return False
    return min(_likeness(inked, inked[::-1]), _likeness(inked, inked[:, ::-1])) >= _BAR_LIKENESS


def _is_outline(part: Part) -> bool:
    box = part.box
    if not has_size(box) or box.width > _LONG * box.height:
        return False
    whole = filled(part.mask)
    shape = cv2.resize(whole * 255, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) > 127
    *others, open_hand = (_likeness(shape, look) >= enough for look, enough in _looks())
    return any(others) or (open_hand and _is_solid(part, whole))


def _is_solid(part: Part, whole: Gray) -> bool:
    framed = cv2.copyMakeBorder(whole, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    radius = float(cv2.distanceTransform(framed, cv2.DIST_L2, 3).max())
    full = part.pixels >= _OPEN_HAND_SOLID * cv2.countNonZero(whole)
    return full and radius <= _OPEN_HAND_THICKNESS * part.box.height


@lru_cache(maxsize=1)
def _looks() -> list[tuple[NDArray[np.bool_], float]]:
    """The outlines as drawings of one size, each with how near a shape has to come."""
    fine = _SIDE * 8
    found: list[tuple[NDArray[np.bool_], float]] = []
    for corners, enough in _OUTLINES:
        drawing = np.zeros((fine, fine), np.uint8)
        cv2.fillPoly(drawing, [(np.array(corners) * (fine - 1)).astype(np.int32)], (255,))
        small = cv2.resize(drawing, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        found.append((small > 127, enough))
    return found


def _likeness(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """What both cover of what either covers."""
    return float(np.count_nonzero(one & other) / np.count_nonzero(one | other))
