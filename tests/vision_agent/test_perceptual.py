"""The perceptual hash against imagehash, of which it claims every bit."""

import imagehash
import numpy as np
import pytest
from PIL import Image
from vision_agent.frames.perceptual import Hasher, distance, phash

from .pictures import gray


def reference(picture: np.ndarray) -> int:
    return int(str(imagehash.phash(Image.fromarray(picture))), 16)


class TestPhash:
    @pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (1009, 781), (64, 64), (640, 33)])
    def test_it_is_imagehash_bit_for_bit(self, size):
        random = np.random.default_rng(7)
        for _ in range(8):
            small = random.integers(0, 256, (size[1] // 16 + 2, size[0] // 16 + 2), np.uint8)
            picture = np.asarray(Image.fromarray(small).resize(size), np.uint8)
            assert phash(picture) == reference(picture)

    def test_a_drawn_screen_too(self):
        picture = gray("File  Edit  View", "Error E-1041", "The printer does not answer")
        assert phash(picture) == reference(picture)

    def test_a_hasher_that_sees_rows_change_says_the_same(self):
        hasher = Hasher()
        for lines in (("one",), ("one", "two"), ("one", "three"), ("one", "three")):
            picture = gray(*lines)
            assert hasher.phash(picture) == phash(picture)

    def test_a_hasher_takes_frames_of_another_size(self):
        hasher = Hasher()
        hasher.phash(gray("one"))
        other = gray("one", size=(800, 600))
        assert hasher.phash(other) == phash(other)

    def test_distance_counts_bits(self):
        assert distance(0b1011, 0b0001) == 2
