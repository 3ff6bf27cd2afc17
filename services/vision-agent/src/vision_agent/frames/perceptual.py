"""The 64-bit perceptual hash, bit for bit as imagehash.phash of the same pixels, but faster.

Source: imagehash 4.3.2 (Pillow's Lanczos to 32×32, DCT, the 8×8 lowest frequencies against their
median). The time goes into the reduction to 32×32; here it is two matrix products with Pillow's
own filter weights, rounded to whole levels between them as Pillow does.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vision_agent.frames.images import Gray

_SIDE = 32
_LOW = 8
_SUPPORT = 3.0
BITS = _LOW * _LOW
# Precision of Pillow's weights for 8-bit images, and how far float32 sums may be off.
_FIXED_BITS = 22
_UNSURE = 5e-4


def phash(gray: Gray) -> int:
    """The hash as an integer of 64 bits, the first row's first bit the highest."""
    return _of_rows(_reduce(gray))


class Hasher:
    """Hashes frames of one screen: only rows that differ from the last one are reduced again."""

    def __init__(self) -> None:
        self._gray: Gray | None = None
        self._rows: Gray | None = None

    def phash(self, gray: Gray) -> int:
        """As the function of this name."""
        if self._gray is None or self._rows is None or self._gray.shape != gray.shape:
            self._rows = _reduce(gray)
        else:
            # A row as one value is compared as bytes, which is the fastest way there is.
            whole_row = np.dtype((np.void, gray.shape[1]))
            other = (self._gray.view(whole_row) != gray.view(whole_row)).ravel()
            if other.any():
                self._rows[other] = _reduce(gray[other])
        self._gray = gray
        return _of_rows(self._rows)


def _of_rows(rows: Gray) -> int:
    small = _reduce(np.ascontiguousarray(rows.T)).T
    cosines = _cosines()
    low = (cosines @ small.astype(np.float64) @ cosines.T)[:_LOW, :_LOW]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def distance(one: int, other: int) -> int:
    """How many of the 64 bits differ."""
    return (one ^ other).bit_count()


def _reduce(gray: Gray) -> Gray:
    """Each row to 32 levels. What lies between two levels is settled in Pillow's fixed point."""
    weights, fixed = _lanczos(gray.shape[1])
    values = gray.astype(np.float32) @ weights
    levels = np.floor(values + np.float32(0.5))
    rows, targets = np.nonzero(np.abs(values + np.float32(0.5) - np.rint(values + 0.5)) < _UNSURE)
    if rows.size:
        sums = np.einsum("ij,ij->i", gray[rows].astype(np.int64), fixed[targets])
        levels[rows, targets] = (sums + (1 << (_FIXED_BITS - 1))) >> _FIXED_BITS
    return np.clip(levels, 0, 255).astype(np.uint8)


@lru_cache(maxsize=32)
def _lanczos(size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Weights of `size` pixels in each of 32, as Pillow's resampling computes them.

    As floats (size × 32) and in its fixed point (32 × size).
    """
    scale = size / _SIDE
    filter_scale = max(scale, 1.0)
    support = _SUPPORT * filter_scale
    weights = np.zeros((size, _SIDE))
    for target in range(_SIDE):
        center = (target + 0.5) * scale
        first = max(int(center - support + 0.5), 0)
        last = min(int(center + support + 0.5), size)
        values = [_window((x - center + 0.5) / filter_scale) for x in range(first, last)]
        weights[first:last, target] = np.array(values) / sum(values)
    scaled = weights * (1 << _FIXED_BITS)
    fixed = np.trunc(scaled + np.where(scaled < 0, -0.5, 0.5)).astype(np.int64)
    return weights.astype(np.float32), np.ascontiguousarray(fixed.T)


def _window(x: float) -> float:
    if not -_SUPPORT <= x < _SUPPORT:
        return 0.0
    return _sinc(x) * _sinc(x / _SUPPORT)


def _sinc(x: float) -> float:
    return math.sin(x * math.pi) / (x * math.pi) if x else 1.0


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float64]:
    """DCT-II, unnormalised, as scipy.fftpack.dct."""
    k, n = np.mgrid[0:_SIDE, 0:_SIDE]
    return 2 * np.cos(np.pi * k * (2 * n + 1) / (2 * _SIDE))
