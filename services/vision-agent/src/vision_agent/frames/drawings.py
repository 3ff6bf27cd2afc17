"""Pointers as systems draw them: one tone with a rim of the other, whatever lies under them."""

from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vision_agent.frames.boxes import Box

# Without its rim, in a square: corners, strokes of the rim's tone, width of the height, and how
# much of the picture has to be so.
_Points = tuple[tuple[float, float], ...]
_ARROW = ((0, 0), (0, 0.8), (0.24, 0.63), (0.5, 1), (0.76, 0.92), (0.52, 0.58), (1, 0.56))
_HAND = (
    (0.22, 0), (0.34, 0), (0.37, 0.15), (0.42, 0.42), (0.44, 0.29), (0.6, 0.29), (0.65, 0.42),
    (0.68, 0.29), (0.83, 0.29), (0.88, 0.45), (0.92, 0.36), (1, 0.38), (1, 0.7), (0.93, 0.86),
    (0.86, 0.93), (0.86, 1), (0.36, 1), (0.3, 0.9), (0.2, 0.78), (0.12, 0.68), (0, 0.5), (0, 0.43),
    (0.1, 0.41), (0.2, 0.5), (0.3, 0.6), (0.27, 0.36),
)  # fmt: skip
_FINGERS = (((0.5, 0.6), (0.5, 0.86)), ((0.655, 0.6), (0.655, 0.86)), ((0.81, 0.6), (0.81, 0.86)))
_KINDS: tuple[tuple[_Points, tuple[_Points, ...], float, float], ...] = (
    (_ARROW, (), 0.64, 0.72),
    (_HAND, _FINGERS, 0.93, 0.62),
)
# A changed rectangle is at most so much higher, and so much wider or narrower, than the tone.
_HIGHER = 8
_WIDER = 8
# So many heights look so much alike that the middle one says whether the others are worth a try.
_ALIKE = 3
_FINE = 12
Drawing = tuple[NDArray[np.float32], NDArray[np.float32], float]


def drawings_for(box: Box) -> Iterator[list[Drawing]]:
    """Picture, mask and the likeness that is enough of each pointer that could fill the box.

    Those of one kind and nearly one height come together, the middle one first.
    """
    for number, (_, _, width, _) in enumerate(_KINDS):
        heights = range(box.height - _HIGHER, box.height + 1)
        fitting = [height for height in heights if abs(width * height - box.width) <= _WIDER]
        for start in range(0, len(fitting), _ALIKE):
            alike = fitting[start : start + _ALIKE]
            middle = alike.pop(len(alike) // 2)
            yield [_drawn(number, height) for height in (middle, *alike)]


@lru_cache(maxsize=256)
def _drawn(number: int, height: int) -> Drawing:
    corners, strokes, wide, enough = _KINDS[number]
    width = max(round(height * wide), 1)
    # Large, with a rim of one pixel, then made small.
    tone = np.zeros(((height + 2) * _FINE, (width + 2) * _FINE), np.uint8)
    scale = np.array([width * _FINE - 1, height * _FINE - 1])
    outline = (np.array(corners) * scale + _FINE).astype(np.int32)
    cv2.fillPoly(tone, [outline], (255,))
    rim = cv2.dilate(tone, np.ones((_FINE * 2 - 1, _FINE * 2 - 1), np.uint8))
    for stroke in strokes:
        one, other = (np.array(stroke) * scale + _FINE).astype(int).tolist()
        cv2.line(tone, one, other, (0,), _FINE)
    size = (width + 2, height + 2)
    picture = cv2.resize(tone, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    mask = (cv2.resize(rim, size, interpolation=cv2.INTER_AREA) > 100).astype(np.float32)
    return picture, mask, enough
