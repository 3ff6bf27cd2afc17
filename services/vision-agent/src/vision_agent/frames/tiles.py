"""Where two frames differ, in tiles, without what moves by itself: carets and the mouse pointer.

A perceptual hash does not see a changed error code or a typed word at all: that is a few dozen
pixels of two million. This test counts differing pixels per tile instead.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vision_agent.frames import apparitions
from vision_agent.frames.boxes import Box, cut, grown
from vision_agent.frames.images import Gray

TILE = 32

# Around a pointer: what it stands on.
_MARGIN = 12
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


def changed_content(before: Gray, after: Gray, rule: TileRule, look: Tiles | None = None) -> Tiles:
    """Tiles (among `look`) whose content differs: a blinking caret or a moved pointer is none."""
    mask = _differing(before, after, rule)
    box = Box(*cv2.boundingRect(mask))
    tiles = _enough(mask, box, rule)
    if look is not None:
        tiles &= look
    if not tiles.any() or np.count_nonzero(tiles) > _MAX_TILES_IN_DETAIL:
        return tiles
    if look is not None:
        _clear(mask, ~look)
    around = grown(box, mask.shape, _MARGIN)
    if not apparitions.drop(cut(mask, around), cut(before, around), cut(after, around)):
        return tiles
    tiles = _enough(mask, box, rule)
    return tiles if look is None else tiles & look


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


def _differing(before: Gray, after: Gray, rule: TileRule) -> Gray:
    mask = cv2.absdiff(before, after)
    cv2.threshold(mask, rule.min_levels, 1, cv2.THRESH_BINARY, mask)
    return np.asarray(mask, np.uint8)


def _enough(mask: Gray, box: Box, rule: TileRule) -> Tiles:
    """Tiles with enough differing pixels; only the rectangle that has any is counted."""
    tiles = np.zeros(grid(mask.shape), np.bool_)
    if not box.width:
        return tiles
    rows = slice(box.y // TILE, -(-(box.y + box.height) // TILE))
    columns = slice(box.x // TILE, -(-(box.x + box.width) // TILE))
    part = mask[rows.start * TILE : rows.stop * TILE, columns.start * TILE : columns.stop * TILE]
    tall, wide = rows.stop - rows.start, columns.stop - columns.start
    below, right = tall * TILE - part.shape[0], wide * TILE - part.shape[1]
    if below or right:
        border = cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_CONSTANT, value=0)
        part = np.asarray(border, np.uint8)
    # At most TILE ones are added in each step, which a byte holds.
    down = np.add.reduce(part.reshape(tall, TILE, wide * TILE), axis=1, dtype=np.uint8)
    counts = down.reshape(tall, wide, TILE).sum(axis=2, dtype=np.uint16)
    tiles[rows, columns] = counts >= rule.min_pixels
    return tiles


def _clear(mask: Gray, where: Tiles) -> None:
    """Clears the mask in some tiles."""
    for row, column in np.argwhere(where).tolist():
        y, x = row * TILE, column * TILE
        mask[y : y + TILE, x : x + TILE] = 0
