"""Where two frames differ, in tiles, without what moves by itself: carets and the mouse pointer.

A perceptual hash does not see a changed error code or a typed word at all: that is a few dozen
pixels of two million. This test counts differing pixels per tile instead.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vision_agent.frames import apparitions
from vision_agent.frames.boxes import Box, cut
from vision_agent.frames.images import Gray
from vision_agent.frames.pointers import Pointers

TILE = 32

# Beyond it a change is no pointer, and looking at each part would take too long.
_MAX_TILES_IN_DETAIL = 40


@dataclass(frozen=True, slots=True)
class TileRule:
    """When a pixel differs (levels of 255) and when a tile does (pixels of it)."""

    min_levels: int = 24
    min_pixels: int = 6


Tiles = NDArray[np.bool_]


def grid(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of tiles of a frame."""
    return -(-shape[0] // TILE), -(-shape[1] // TILE)


@dataclass(frozen=True, slots=True)
class Change:
    """The tiles whose content differs, and whether some of it is as wide as a word, or more."""

    tiles: Tiles
    wide: bool


def changed_content(
    before: Gray, after: Gray, rule: TileRule, pointers: Pointers, look: Tiles | None = None
) -> Change:
    """What differs (among the tiles of `look`): what can't be read, as a pointer, is none of it."""
    tiles = np.zeros(grid(after.shape), np.bool_)
    apart = np.asarray(cv2.absdiff(before, after), np.uint8)
    at = _where(apart, rule.min_levels)
    if at is None:
        return Change(tiles, wide=False)
    part = np.s_[at.y // TILE : -(-(at.y + at.height) // TILE),
                 at.x // TILE : -(-(at.x + at.width) // TILE)]  # fmt: skip
    mask = cv2.threshold(cut(apart, at), rule.min_levels, 1, cv2.THRESH_BINARY)[1]
    mask = np.asarray(mask, np.uint8)
    wanted = None if look is None else look[part]
    if wanted is not None:
        _clear(mask, ~wanted)
    tiles[part] = _enough(mask, rule)
    if not 0 < np.count_nonzero(tiles) <= _MAX_TILES_IN_DETAIL:
        return Change(tiles, wide=True)
    left = apparitions.drop(mask, at, before, after, pointers)
    if left is None:
        return Change(tiles, wide=True)
    tiles[part] = _enough(mask, rule)
    return Change(tiles, any(apparitions.is_wide(one) for one in left))


def boxes(tiles: Tiles, shape: tuple[int, ...], margin: int = 1) -> list[Box]:
    """Rectangles that cover the tiles and `margin` tiles around them; near ones become one."""
    size = 2 * margin + 1
    spread = cv2.dilate(tiles.astype(np.uint8), np.ones((size, size), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(spread, connectivity=8)
    found: list[Box] = []
    for column, row, columns, rows, _ in stats[1:count].tolist():
        x, y = column * TILE, row * TILE
        width, height = columns * TILE, rows * TILE
        found.append(Box(x, y, min(width, shape[1] - x), min(height, shape[0] - y)))
    return found


def _where(apart: Gray, levels: int) -> Box | None:
    """The tiles that hold all pixels that differ by more; None without any."""
    rows = np.flatnonzero(apart.max(axis=1) > levels)
    if not rows.size:
        return None
    top, bottom = _aligned(rows, apart.shape[0])
    columns = np.flatnonzero(apart[top:bottom].max(axis=0) > levels)
    left, right = _aligned(columns, apart.shape[1])
    return Box(left, top, right - left, bottom - top)


def _aligned(found: NDArray[np.intp], size: int) -> tuple[int, int]:
    return int(found[0]) // TILE * TILE, min((int(found[-1]) // TILE + 1) * TILE, size)


def _enough(mask: Gray, rule: TileRule) -> Tiles:
    """Tiles with enough differing pixels of a mask that begins with a tile."""
    tall, wide = grid(mask.shape)
    below, right = tall * TILE - mask.shape[0], wide * TILE - mask.shape[1]
    if below or right:
        border = cv2.copyMakeBorder(mask, 0, below, 0, right, cv2.BORDER_CONSTANT, value=0)
        mask = np.asarray(border, np.uint8)
    # At most TILE ones are added in each step, which a byte holds.
    down = np.add.reduce(mask.reshape(tall, TILE, wide * TILE), axis=1, dtype=np.uint8)
    counts = down.reshape(tall, wide, TILE).sum(axis=2, dtype=np.uint16)
    return counts >= rule.min_pixels


def _clear(mask: Gray, where: Tiles) -> None:
    """Clears the mask in some tiles."""
    for row, column in np.argwhere(where).tolist():
        y, x = row * TILE, column * TILE
        mask[y : y + TILE, x : x + TILE] = 0
