"""What comes and goes on a screen without being its content: text carets and the mouse pointer.

A pointer has no one look: an arrow becomes a hand over a link and a bar over text. Arrows and
hands are told by their outlines, stretched to one size. Of 20,700 letters, digits and signs in 23
typefaces, 12 to 40 pixels high, plain and a pixel heavier, 16 came as near, all of them heavier.
"""

import enum
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vision_agent.frames.boxes import Box, cut, grown
from vision_agent.frames.images import Gray

# The looks of a caret and of pointers, in pixels of the frame as it was sent.
_CARET_WIDTH = 3
_CARET_HEIGHTS = (8, 48)
_CARET_FILL = 0.8
# The caret that covers a letter, as terminals have it.
_BLOCK_HEIGHT = 15
_BLOCK_WIDTHS = (7, 16)
_BLOCK_WIDTH = 0.75
_BLOCK_FILL = 0.9
_POINTER_SIDES = (6, 48)
_POINTER_LIKENESS = 0.7
_OUTLINE_WIDTHS = (7, 40)
_OUTLINE_HEIGHTS = (13, 40)
_OUTLINE_LONG = 1.15
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
_LOOK_SIDE = 24
# The pointer over text: a stem with serifs, alike from left and right, from above and below.
_BAR_HEIGHTS = (15, 32)
_BAR_WIDTH = 0.55
_BAR_STEM = 3
_BAR_LIKENESS = 0.6
# Ground: so many of the pixels are so near to what surrounds them.
_GROUND_LEVELS = 24
_GROUND_SHARE = 0.85
_RING = 3
# How far the outlines of the two may differ, by what lies under them.
_SLACK = 12
# Parts of one shape are at most so far apart; parts of fewer pixels are the compression's.
_JOIN = np.ones((11, 11), np.uint8)
_TOUCH = np.ones((3, 3), np.uint8)
_MIN_PART = 4
_MOST_PARTS = 12


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A connected change: its mask, where it is, and its rectangle."""

    mask: Gray
    box: Box
    pixels: int


def drop(mask: Gray, before: Gray, after: Gray) -> bool:
    """Clears carets and pointers from the mask of differing pixels; whether there were any."""
    whole = _parts(mask, _JOIN)
    if whole is None:
        return False
    gone = [part for part in whole if part.pixels < _MIN_PART or _is_caret(part)]
    rest = [part for part in whole if part not in gone]
    if len(rest) == 2 and _moved(before, after, *rest):
        gone += rest
    else:
        gone += _pointers(before, after, rest)
    for part in gone:
        inside = cut(mask, part.box)
        inside[part.mask > 0] = 0
    return bool(gone)


def _parts(mask: Gray, joining: Gray) -> list[_Part] | None:
    """The connected parts; None where they are too many to be carets and pointers."""
    joined = cv2.dilate(mask, joining)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    if count - 1 > _MOST_PARTS:
        return None
    found: list[_Part] = []
    for number in range(1, count):
        x, y, width, height, _ = stats[number].tolist()
        inside = np.s_[y : y + height, x : x + width]
        own = np.where(labels[inside] == number, mask[inside], 0).astype(np.uint8)
        left, top, w, h = cv2.boundingRect(own)
        tight = np.ascontiguousarray(own[top : top + h, left : left + w])
        found.append(_Part(tight, Box(x + left, y + top, w, h), cv2.countNonZero(tight)))
    return found


def _is_caret(part: _Part) -> bool:
    low, high = _CARET_HEIGHTS
    box, fill = part.box, part.pixels / part.mask.size
    if not low <= box.height <= high:
        return False
    if box.width <= _CARET_WIDTH:
        return fill >= _CARET_FILL
    if box.height < _BLOCK_HEIGHT:
        return False
    block = _BLOCK_WIDTHS[0] <= box.width <= min(_BLOCK_WIDTHS[1], _BLOCK_WIDTH * box.height)
    return block and fill >= _BLOCK_FILL


def _moved(before: Gray, after: Gray, one: _Part, other: _Part) -> bool:
    """The two places of a pointer that moved: the same shape, gone here and come there.

    Two equal digits that change look alike too, but brighten or darken alike; a pointer does the
    opposite where it goes of what it does where it comes.
    """
    low, high = _POINTER_SIDES
    sides = (one.box.width, one.box.height, other.box.width, other.box.height)
    if any(not low <= side <= high for side in sides):
        return False
    here = _change(before, after, one.box)
    there = -_change(before, after, grown(other.box, before.shape, _SLACK))
    if here.shape[0] > there.shape[0] or here.shape[1] > there.shape[1]:
        return False
    return cv2.matchTemplate(there, here, cv2.TM_CCORR_NORMED).max() >= _POINTER_LIKENESS


class _Sign(enum.Enum):
    """What a part says of a pointer; HIDDEN: its outline, over something."""

    CAME = enum.auto()
    WENT = enum.auto()
    HIDDEN = enum.auto()
    NONE = enum.auto()


def _pointers(before: Gray, after: Gray, parts: list[_Part]) -> list[_Part]:
    """Those parts that are one pointer gone, one come, or both."""
    found: list[_Part] = []
    signs: list[_Sign] = []
    for part in parts:
        of_pieces = [_sign(before, after, piece) for piece in _pieces(part)]
        if of_pieces and _Sign.NONE not in of_pieces:
            found.append(part)
            signs += of_pieces
    once = signs.count(_Sign.CAME) <= 1 and signs.count(_Sign.WENT) <= 1
    # Nobody has two pointers: what is seen of one is at most where it was and where it is.
    return found if once and len(signs) <= 2 else []


def _pieces(part: _Part) -> list[_Part]:
    """A part's own pieces: where a pointer moved a little, its two places are one part."""
    pieces = [piece for piece in _parts(part.mask, _TOUCH) or () if piece.pixels >= _MIN_PART]
    return [
        _Part(p.mask, Box(p.box.x + part.box.x, p.box.y + part.box.y, p.box.width, p.box.height),
              p.pixels)
        for p in pieces
        if not _is_caret(p)
    ]  # fmt: skip


def _sign(before: Gray, after: Gray, part: _Part) -> _Sign:
    if not (_is_outline(part) or _is_bar(part)):
        return _Sign.NONE
    was, now = _is_ground(before, part), _is_ground(after, part)
    if was == now:
        return _Sign.HIDDEN
    return _Sign.CAME if was else _Sign.WENT


def _is_bar(part: _Part) -> bool:
    box = part.box
    if not (_BAR_HEIGHTS[0] <= box.height <= _BAR_HEIGHTS[1] and box.width > _BAR_STEM):
        return False
    if box.width > _BAR_WIDTH * box.height:
        return False
    inked = part.mask > 0
    widths = inked.sum(axis=1)
    quarter = box.height // 4
    stem, ends = widths[quarter:-quarter], (widths[:quarter], widths[-quarter:])
    if stem.max() > _BAR_STEM or not stem.min() or min(end.max() for end in ends) <= stem.max():
        return False
    return min(_likeness(inked, inked[::-1]), _likeness(inked, inked[:, ::-1])) >= _BAR_LIKENESS


def _is_outline(part: _Part) -> bool:
    box = part.box
    if not (
        _OUTLINE_WIDTHS[0] <= box.width <= _OUTLINE_WIDTHS[1]
        and _OUTLINE_HEIGHTS[0] <= box.height <= _OUTLINE_HEIGHTS[1]
        and box.width <= _OUTLINE_LONG * box.height
    ):
        return False
    filled = _filled(part.mask)
    size = (_LOOK_SIDE, _LOOK_SIDE)
    shape = cv2.resize(filled * 255, size, interpolation=cv2.INTER_AREA) > 127
    *others, open_hand = (_likeness(shape, look) >= enough for look, enough in _looks())
    return any(others) or (open_hand and _is_solid(part, filled))


def _is_solid(part: _Part, filled: Gray) -> bool:
    framed = cv2.copyMakeBorder(filled, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    radius = float(cv2.distanceTransform(framed, cv2.DIST_L2, 3).max())
    full = part.pixels >= _OPEN_HAND_SOLID * cv2.countNonZero(filled)
    return full and radius <= _OPEN_HAND_THICKNESS * part.box.height


@lru_cache(maxsize=1)
def _looks() -> list[tuple[NDArray[np.bool_], float]]:
    """The outlines as drawings of one size, each with how near a shape has to come."""
    fine = _LOOK_SIDE * 8
    size = (_LOOK_SIDE, _LOOK_SIDE)
    found: list[tuple[NDArray[np.bool_], float]] = []
    for corners, enough in _OUTLINES:
        drawing = np.zeros((fine, fine), np.uint8)
        cv2.fillPoly(drawing, [(np.array(corners) * (fine - 1)).astype(np.int32)], (255,))
        found.append((cv2.resize(drawing, size, interpolation=cv2.INTER_AREA) > 127, enough))
    return found


def _likeness(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """What both cover of what either covers."""
    return float(np.count_nonzero(one & other) / np.count_nonzero(one | other))


def _filled(mask: Gray) -> Gray:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    cv2.drawContours(filled, contours, -1, (1,), cv2.FILLED)
    return filled


def _is_ground(frame: Gray, part: _Part) -> bool:
    """Whether the frame shows nothing there but what surrounds it."""
    around = grown(part.box, frame.shape, _RING)
    pixels = cut(frame, around)
    own = np.zeros(pixels.shape, np.uint8)
    cut(own, Box(part.box.x - around.x, part.box.y - around.y, part.box.width, part.box.height))[
        :
    ] = part.mask
    ring = pixels[cv2.dilate(own, _TOUCH, iterations=2) == 0]
    if not ring.size:
        return False
    ground = float(np.median(ring))
    near = np.abs(pixels[own > 0].astype(np.float32) - ground) <= _GROUND_LEVELS
    return float(near.mean()) >= _GROUND_SHARE


def _change(before: Gray, after: Gray, box: Box) -> NDArray[Any]:
    return cut(after, box).astype(np.float32) - cut(before, box)
