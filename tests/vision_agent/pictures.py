"""Gray pictures of screens."""

import cv2
import numpy as np
from harness.drawing import screen
from vision_agent.frames.images import Gray


def gray(*lines: str, size: tuple[int, int] = (1280, 720)) -> Gray:
    """A drawn screen as the pipeline gets it."""
    packed = np.frombuffer(screen(*lines, size=size), np.uint8)
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)


def with_pointer(picture: Gray, x: int, y: int) -> Gray:
    """The picture with an arrow on it."""
    drawn = picture.copy()
    arrow = np.array([[0, 0], [0, 16], [4, 12], [7, 18], [9, 17], [7, 11], [12, 11]], np.int32)
    cv2.fillPoly(drawn, [arrow + np.array([x, y])], (0,))
    return drawn


def with_caret(picture: Gray, x: int, y: int) -> Gray:
    """The picture with a text caret."""
    drawn = picture.copy()
    drawn[y : y + 20, x : x + 2] = 0
    return drawn
