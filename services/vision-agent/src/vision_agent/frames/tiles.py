"""Where two frames differ, in tiles, without what moves by itself: carets and the mouse pointer.

A perceptual hash does not see a changed error code or a typed word at all: that is a few dozen
pixels of two million. This test counts differing pixels per tile instead.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vision_agent.frames import apparitions
from vision_agent.frames.boxes import Box, cut, united
from vision_agent.frames.images import Gray
from vision_agent.frames.pointers import Pointers

TILE = 32

# Beyond it a change is no pointer, and looking at each part would take too long.
_MAX_TILES_IN_DETAIL = 40


@dataclass(frozen=True, slots=True)
class TileRule:
    """When a pixel differs (levels of 255), when a tile does (pixels of it), what is a word.

    `word_aspect`: what is narrower than so many times its height is no word.
    """

    min_levels: int = 24
    min_pixels: int = 6
    word_aspect: float = 1.5


Tiles = NDArray[np.bool_]


def grid(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of tiles of a frame."""
    return -(-shape[0] // TILE), -(-shape[1] // TILE)


@dataclass(frozen=True, slots=True)
class Change:
    """The tiles whose content differs, and whether some of it is as wide as a word, or more.

    `blocks`: rectangles of one brightness that changed, as a bar of progress; they are none of the
    tiles. `nothing`: no pixel differs, also none of what can't be read.
    """

    tiles: Tiles
    wide: bool
    blocks: tuple[Box, ...] = ()
    nothing: bool = False


def changed_content(
    before: Gray, after: Gray, rule: TileRule, pointers: Pointers, look: Tiles | None = None
) -> Change:
    """What differs (among the tiles of `look`): what can't be read, as a pointer, is none of it."""
    tiles = np.zeros(grid(after.shape), np.bool_)
    if before is after:
        return Change(tiles, wide=False, nothing=True)
    at = _where(before, after, rule.min_levels)
    if at is None:
        return Change(tiles, wide=False, nothing=True)
    part = np.s_[at.y // TILE : -(-(at.y + at.height) // TILE),
                 at.x // TILE : -(-(at.x + at.width) // TILE)]  # fmt: skip
    apart = cv2.absdiff(cut(before, at), cut(after, at))
    mask = cv2.threshold(apart, rule.min_levels, 1, cv2.THRESH_BINARY)[1]
    mask = np.asarray(mask, np.uint8)
    wanted = None if look is None else look[part]
    if wanted is not None:
        _clear(mask, ~wanted)
    counts = _count(mask)
    tiles[part] = counts >= rule.min_pixels
    if not 0 < np.count_nonzero(tiles) <= _MAX_TILES_IN_DETAIL:
        return Change(tiles, wide=True)
    # What is connected lies in neighbouring tiles: looked for in these, not in all between them.
    regions = united(boxes(counts > 0, mask.shape, margin=0))
    parts = apparitions.drop(mask, at, regions, before, after, pointers)
    if parts is None:
        return Change(tiles, wide=True)
    tiles[part] = _count(mask) >= rule.min_pixels
    wide = any(apparitions.is_wide(part, rule.word_aspect) for part in parts.rest)
    return Change(tiles, wide, tuple(block.box for block in parts.blocks))


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


def _where(before: Gray, after: Gray, levels: int) -> Box | None:
    """The tiles that hold all pixels that differ by more; None without any."""
    height, width = after.shape
    rows = [
        y
        for y in range(0, height, TILE)
        if cv2.norm(before[y : y + TILE], after[y : y + TILE], cv2.NORM_INF) > levels
    ]
    if not rows:
        return None
    top, bottom = rows[0], min(rows[-1] + TILE, height)
    apart = cv2.absdiff(before[top:bottom], after[top:bottom])
    columns = np.flatnonzero(apart.max(axis=0) > levels)
    left = int(columns[0]) // TILE * TILE
    right = min((int(columns[-1]) // TILE + 1) * TILE, width)
    return Box(left, top, right - left, bottom - top)


def _count(mask: Gray) -> NDArray[np.uint16]:
    """How many pixels differ in each tile of a mask that begins with a tile."""
    tall, wide = grid(mask.shape)
    below, right = tall * TILE - mask.shape[0], wide * TILE - mask.shape[1]
    if below or right:
        border = cv2.copyMakeBorder(mask, 0, below, 0, right, cv2.BORDER_CONSTANT, value=0)
        mask = np.asarray(border, np.uint8)
    # At most TILE ones are added in each step, which a byte holds.
    down = np.add.reduce(mask.reshape(tall, TILE, wide * TILE), axis=1, dtype=np.uint8)
    return down.reshape(tall, wide, TILE).sum(axis=2, dtype=np.uint16)


def _clear(mask: Gray, where: Tiles) -> None:
    """Clears the mask in some tiles."""
    for row, column in np.argwhere(where).tolist():
        y, x = row * TILE, column * TILE
        mask[y : y + TILE, x : x + TILE] = 0
