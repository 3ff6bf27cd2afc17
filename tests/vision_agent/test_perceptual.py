"""The perceptual hash against imagehash's own of the whole frame."""

import imagehash
import numpy as np
import pytest
from PIL import Image
from vision_agent.frames.perceptual import distance, phash

from .pictures import gray


def reference(picture: np.ndarray) -> int:
    return int(str(imagehash.phash(Image.fromarray(picture))), 16)


class TestPhash:
    @pytest.mark.parametrize("size", [(160, 100), (64, 64), (160, 65)])
    def test_of_a_small_frame_it_is_imagehash_bit_for_bit(self, size):
        random = np.random.default_rng(7)
        small = random.integers(0, 256, (size[1] // 16 + 2, size[0] // 16 + 2), np.uint8)
        picture = np.asarray(Image.fromarray(small).resize(size), np.uint8)
        assert phash(picture) == reference(picture)

    @pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (1009, 781)])
    def test_of_a_large_one_it_is_the_same_but_for_a_few_bits(self, size):
        picture = gray("File  Edit  View", "Error E-1041", "The printer does not answer", size=size)
        assert distance(phash(picture), reference(picture)) <= 4

    def test_distance_counts_bits(self):
        assert distance(0b1011, 0b0001) == 2
