"""What comes and goes on a screen and can't be read: pointers, carets, lines, frames, blocks."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vision_agent.frames.boxes import Box, cut, grown, within
from vision_agent.frames.carets import is_caret
from vision_agent.frames.images import Gray
from vision_agent.frames.outlines import may_hold
from vision_agent.frames.parts import MIN_PIXELS, TOUCH, Part, parts_in
from vision_agent.frames.pointers import Pointers

# An underline, the ring around what has the focus, the thumb of a scroll bar; longer than letters.
_THIN = 3
_LINE = 24
_LINE_FILL = 0.8
_FRAME = 20
_FRAME_WIDTH = 5
_FRAME_SEEN = 0.9
_BLOCK = (5, 24)
_BLOCK_FILL = 0.9
# A dot beside what is new or unread. Larger ones hold a number, smaller ones end a sentence.
_DISC = (5, 16)
_DISC_LIKENESS = 0.75
_DISC_CONVEX = 0.95
# A small graph, as of a machine's load in a task bar; in larger ones there is something to see.
_GRAPH = (24, 24)
_GRAPH_RISES = 0.95
_GRAPH_HEIGHTS = 4
_CONTRAST = 48
# The thumb of a scroll bar, which says nothing that the text beside it does not.
_THUMB = 16
_BORDER = 2
_PLAIN_LEVELS = 24
_WORD = (16, 5)
_SIDES = (6, 48)
_LIKENESS = 0.7
# How far the outlines of the two may differ, by what lies under them.
_SLACK = 12


@dataclass(frozen=True, slots=True)
class Sorted:
    """Parts of a change: what may be text, and blocks, which are to be seen but not to be read."""

    rest: list[Part]
    blocks: list[Part]


def drop(
    mask: Gray, at: Box, regions: list[Box], before: Gray, after: Gray, pointers: Pointers
) -> Sorted | None:
    """Clears what can't be read from the mask of differing pixels, and says what there was.

    The mask is of the part of the frames that `at` says, with something in its `regions` only.
    None, and nothing cleared, where the parts are very many.
    """
    whole = parts_in(mask, at, regions)
    if whole is None:
        return None
    blocks = [part for part in whole if _is_block(before, after, part)]
    gone = [part for part in whole if part in blocks or _is_no_text(before, after, part)]
    rest = [part for part in whole if part not in gone]
    if len(rest) == 2 and _moved(before, after, *rest):
        gone += rest
    elif all(may_hold(part.box) for part in rest):
        gone += pointers.find(before, after, rest)
    for part in gone:
        inside = cut(mask, within(part.box, at))
        inside[part.mask > 0] = 0
    rest = [part for part in rest if part not in gone]
    return Sorted(rest, [part for part in blocks if not _is_thumb(part)])


def is_wide(part: Part, aspect: float) -> bool:
    """Whether it has the shape of a word or more: no icon, no pointer, hardly a single letter."""
    width, height = part.box.width, part.box.height
    return width >= _WORD[0] and height >= _WORD[1] and width >= aspect * height


def _is_no_text(before: Gray, after: Gray, part: Part) -> bool:
    few = part.pixels < MIN_PIXELS
    if few or is_caret(part) or _is_line(part) or _is_frame(part):
        return True
    return _is_disc(before, after, part) or _is_graph(before, after, part)


def _is_thumb(part: Part) -> bool:
    return part.box.width <= _THUMB and part.box.width < part.box.height


def _is_line(part: Part) -> bool:
    short, long = sorted((part.box.width, part.box.height))
    return short <= _THIN and long >= _LINE and part.fill >= _LINE_FILL


def _is_frame(part: Part) -> bool:
    """A ring: something along all four sides, corners aside, and nothing within."""
    mask, width = part.mask > 0, _FRAME_WIDTH
    if min(mask.shape) < _FRAME or mask[width:-width, width:-width].any():
        return False
    for across in (mask, mask.T):
        corner = across.shape[1] // 6
        for side in (across[:width], across[-width:]):
            seen = np.any(side, axis=0)[corner:-corner]
            if float(seen.mean()) < _FRAME_SEEN:
                return False
    return True


def _is_block(before: Gray, after: Gray, part: Part) -> bool:
    """A rectangle of one brightness that has another one now."""
    short, long = sorted((part.box.width, part.box.height))
    if short < _BLOCK[0] or long < _BLOCK[1] or part.fill < _BLOCK_FILL:
        return False
    inner = np.s_[_BORDER:-_BORDER, _BORDER:-_BORDER]
    return all(_is_plain(cut(frame, part.box)[inner]) for frame in (before, after))


def _is_disc(before: Gray, after: Gray, part: Part) -> bool:
    """A dot of one brightness, where nothing was or that goes."""
    short, long = sorted(part.mask.shape)
    if short < _DISC[0] or long > _DISC[1] or long > short + 1:
        return False
    ideal, mask = _disc(*part.mask.shape), part.mask > 0
    both = np.count_nonzero(ideal & mask)
    if both < _DISC_LIKENESS * np.count_nonzero(ideal | mask):
        return False
    hull = np.zeros_like(part.mask)
    cv2.fillConvexPoly(hull, cv2.convexHull(cv2.findNonZero(part.mask)), (1,))
    if part.pixels < _DISC_CONVEX * cv2.countNonZero(hull):
        return False
    inner = cv2.erode(part.mask, TOUCH, borderValue=0) > 0
    return all(_is_plain(cut(frame, part.box)[inner]) for frame in (before, after))


def _is_graph(before: Gray, after: Gray, part: Part) -> bool:
    """Columns that rise from one floor to different heights, in both frames; letters don't."""
    if part.box.width < _GRAPH[0] or part.box.height > _GRAPH[1]:
        return False
    filled = [_filled(cut(frame, part.box)) for frame in (before, after)]
    heights = {int(height) for ink in filled for height in ink.sum(axis=0)}
    rises = [float((ink[1:] >= ink[:-1]).all(axis=0).mean()) for ink in filled]
    return len(heights) >= _GRAPH_HEIGHTS and min(rises) >= _GRAPH_RISES


def _filled(pixels: Gray) -> NDArray[np.bool_]:
    """Which of the pixels are of the tone that most of the last row has; none on plain ground."""
    low, high = int(pixels.min()), int(pixels.max())
    if high - low < _CONTRAST:
        return np.zeros(pixels.shape, np.bool_)
    light = pixels > (low + high) / 2
    return light if light[-1].mean() >= 0.5 else ~light


@lru_cache(maxsize=64)
def _disc(height: int, width: int) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[:height, :width]
    y, x = (2 * rows + 1) / height - 1, (2 * columns + 1) / width - 1
    return np.asarray(x * x + y * y <= 1, np.bool_)


def _is_plain(pixels: Gray) -> bool:
    apart = np.abs(pixels.astype(np.int16) - int(np.median(pixels))) > _PLAIN_LEVELS
    return int(np.count_nonzero(apart)) < MIN_PIXELS


def _moved(before: Gray, after: Gray, one: Part, other: Part) -> bool:
    """The two places of a pointer that moved: the same shape, gone here and come there.

    Two equal digits that change look alike too, but brighten or darken alike; a pointer does the
    opposite where it goes of what it does where it comes.
    """
    low, high = _SIDES
    sides = (one.box.width, one.box.height, other.box.width, other.box.height)
    if any(not low <= side <= high for side in sides):
        return False
    here = _change(before, after, one.box)
    there = -_change(before, after, grown(other.box, before.shape, _SLACK))
    if here.shape[0] > there.shape[0] or here.shape[1] > there.shape[1]:
        return False
    return cv2.matchTemplate(there, here, cv2.TM_CCORR_NORMED).max() >= _LIKENESS


def _change(before: Gray, after: Gray, box: Box) -> NDArray[Any]:
    return cut(after, box).astype(np.float32) - cut(before, box)
