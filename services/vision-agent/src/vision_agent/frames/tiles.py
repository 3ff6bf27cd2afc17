"""Where two frames differ, in tiles, without what moves by itself: carets and the mouse pointer.

A perceptual hash does not see a changed error code or a typed word at all: that is a few dozen
pixels of two million. This test counts differing pixels per tile instead.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vision_agent.frames.images import Gray

TILE = 32

# The looks of a text caret and of a pointer, in pixels of the frame as it was sent.
_CARET_WIDTH = 3
_CARET_HEIGHTS = (8, 48)
_CARET_FILL = 0.8
_POINTER_SIDES = (6, 48)
_POINTER_LIKENESS = 0.5
# How far the outlines of the two may differ, by what lies under them.
_SLACK = 12
# Parts of one shape are at most so far apart; parts of fewer pixels are the compression's.
_JOIN = 11
_MIN_PART = 4
# Beyond it a change is no pointer, and looking at each part would take too long.
_MAX_TILES_IN_DETAIL = 40


@dataclass(frozen=True, slots=True)
class TileRule:
    """When a pixel differs (levels of 255) and when a tile does (pixels of it)."""

    min_levels: int = 24
    min_pixels: int = 6


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


Tiles = NDArray[np.bool_]


def grid(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of tiles of a frame."""
    return -(-shape[0] // TILE), -(-shape[1] // TILE)


def changed_content(before: Gray, after: Gray, rule: TileRule, look: Tiles) -> Tiles:
    """Tiles among `look` whose content differs: a blinking caret or a moved pointer is none."""
    mask = _differing(before, after, rule)
    tiles = _enough(mask, rule) & look
    if not tiles.any() or tiles.sum() > _MAX_TILES_IN_DETAIL:
        return tiles
    _without_restless(mask, look)
    box = _grown(Box(*cv2.boundingRect(mask)), mask.shape, _SLACK)
    part = np.s_[box.y : box.y + box.height, box.x : box.x + box.width]
    if _drop_apparitions(mask[part], before[part], after[part]):
        return _enough(mask, rule) & look
    return tiles


def boxes(tiles: Tiles, shape: tuple[int, ...], margin: int = 1) -> list[Box]:
    """Rectangles that cover the tiles and `margin` tiles around them; near ones become one."""
    size = 2 * margin + 1
    grown = cv2.dilate(tiles.astype(np.uint8), np.ones((size, size), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(grown, connectivity=8)
    found: list[Box] = []
    for column, row, columns, rows, _ in stats[1:count].tolist():
        x, y = column * TILE, row * TILE
        width, height = columns * TILE, rows * TILE
        found.append(Box(x, y, min(width, shape[1] - x), min(height, shape[0] - y)))
    return found


def _differing(before: Gray, after: Gray, rule: TileRule) -> Gray:
    difference = cv2.absdiff(before, after)
    return cv2.threshold(difference, rule.min_levels, 1, cv2.THRESH_BINARY)[1].astype(
        np.uint8, copy=False
    )


def _enough(mask: Gray, rule: TileRule) -> Tiles:
    rows, columns = grid(mask.shape)
    height, width = rows * TILE, columns * TILE
    if mask.shape != (height, width):
        mask = np.pad(mask, ((0, height - mask.shape[0]), (0, width - mask.shape[1])))
    # At most TILE ones are added in each step, which a byte holds.
    down = np.add.reduce(mask.reshape(rows, TILE, width), axis=1, dtype=np.uint8)
    counts = down.reshape(rows, columns, TILE).sum(axis=2, dtype=np.uint16)
    return counts >= rule.min_pixels


def _without_restless(mask: Gray, look: Tiles) -> None:
    """Clears the mask where a tile is not looked at."""
    for row, column in np.argwhere(~look).tolist():
        y, x = row * TILE, column * TILE
        mask[y : y + TILE, x : x + TILE] = 0


def _drop_apparitions(mask: Gray, before: Gray, after: Gray) -> bool:
    """Clears carets and a moved pointer from the mask; whether there were any."""
    joined = cv2.dilate(mask, np.ones((_JOIN, _JOIN), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    parts = [_tight(mask, labels, number, stats[number].tolist()) for number in range(1, count)]
    gone = {
        n
        for n, part in enumerate(parts)
        if cv2.countNonZero(_cut(mask, part)) < _MIN_PART or _is_caret(mask, part)
    }
    gone |= _pointer(mask, before, after, parts, gone)
    for number in gone:
        x, y, width, height, _ = stats[number + 1].tolist()
        inside = np.s_[y : y + height, x : x + width]
        mask[inside][labels[inside] == number + 1] = 0
    return bool(gone)


def _tight(mask: Gray, labels: NDArray[Any], number: int, stat: list[int]) -> Box:
    x, y, width, height, _ = stat
    inside = np.s_[y : y + height, x : x + width]
    own = np.where(labels[inside] == number, mask[inside], 0).astype(np.uint8)
    left, top, w, h = cv2.boundingRect(own)
    return Box(x + left, y + top, w, h)


def _is_caret(mask: Gray, part: Box) -> bool:
    low, high = _CARET_HEIGHTS
    if part.width > _CARET_WIDTH or not low <= part.height <= high:
        return False
    return float(_cut(mask, part).mean()) >= _CARET_FILL


def _pointer(mask: Gray, before: Gray, after: Gray, parts: list[Box], known: set[int]) -> set[int]:
    """The two places of a pointer that moved: the same shape, gone here and come there.

    Two equal digits that change look alike too, but brighten or darken alike; a pointer does the
    opposite where it goes of what it does where it comes.
    """
    low, high = _POINTER_SIDES
    rest = [n for n in range(len(parts)) if n not in known]
    if len(rest) != 2:
        return set()
    one, other = (parts[n] for n in rest)
    if any(not low <= side <= high for p in (one, other) for side in (p.width, p.height)):
        return set()
    here = _change(before, after, one)
    there = -_change(before, after, _grown(other, mask.shape, _SLACK))
    if here.shape[0] > there.shape[0] or here.shape[1] > there.shape[1]:
        return set()
    likeness = cv2.matchTemplate(there, here, cv2.TM_CCORR_NORMED).max()
    return set(rest) if likeness >= _POINTER_LIKENESS else set()


def _change(before: Gray, after: Gray, box: Box) -> NDArray[np.float32]:
    return _cut(after, box).astype(np.float32) - _cut(before, box)


def _grown(box: Box, shape: tuple[int, ...], by: int) -> Box:
    x, y = max(box.x - by, 0), max(box.y - by, 0)
    right, bottom = min(box.x + box.width + by, shape[1]), min(box.y + box.height + by, shape[0])
    return Box(x, y, right - x, bottom - y)


def _cut(array: Gray, box: Box) -> Gray:
    return array[box.y : box.y + box.height, box.x : box.x + box.width]
