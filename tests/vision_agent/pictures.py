"""Gray pictures of screens."""

import cv2
import numpy as np
from harness.drawing import screen
from PIL import Image, ImageDraw, ImageFont
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


def with_hand(picture: Gray, x: int, y: int) -> Gray:
    """The picture with the hand that points at a link."""
    drawn = picture.copy()
    hand = [(7, 0), (10, 0), (11, 11), (20, 13), (22, 15), (22, 22), (19, 28), (8, 28), (0, 17),
            (1, 14), (4, 15), (7, 18)]  # fmt: skip
    cv2.fillPoly(drawn, [np.array(hand, np.int32) + np.array([x, y])], (0,))
    return drawn


def with_bar(picture: Gray, x: int, y: int) -> Gray:
    """The picture with the pointer over text."""
    drawn = picture.copy()
    drawn[y : y + 18, x + 4 : x + 5] = 0
    drawn[[y, y + 17], x + 1 : x + 8] = 0
    drawn[[y, y + 17], x + 4] = 255
    drawn[[y + 1, y + 16], x + 3 : x + 6] = 0
    return drawn


def with_caret(picture: Gray, x: int, y: int) -> Gray:
    """The picture with a text caret."""
    drawn = picture.copy()
    drawn[y : y + 20, x : x + 2] = 0
    return drawn


def with_progress(picture: Gray, done: int) -> Gray:
    """The picture with a bar of progress, so many pixels of 400 done."""
    drawn = picture.copy()
    drawn[600:612, 200:600] = 210
    drawn[600:612, 200 : 200 + done] = 60
    return drawn


def packed(picture: Gray) -> bytes:
    """The picture as it is sent."""
    return cv2.imencode(".jpg", picture)[1].tobytes()


def with_letter(picture: Gray, letter: str, size: int) -> Gray:
    """The picture with a letter where nothing was."""
    return with_text(picture, letter, 700, 400, size)


def with_rimmed(picture: Gray, x: int, y: int, shape: str = "arrow") -> Gray:
    """The picture with a pointer as it looks over anything: black with a white rim."""
    corners, strokes = _RIMMED[shape]
    drawn = picture.copy()
    outline = np.array(corners, np.int32) + np.array([x, y])
    cv2.polylines(drawn, [outline], True, (255,), 3)
    cv2.fillPoly(drawn, [outline], (0,))
    for one, other in strokes:
        cv2.line(drawn, (x + one[0], y + one[1]), (x + other[0], y + other[1]), (255,), 1)
    return drawn


_RIMMED = {
    "arrow": ([(0, 0), (0, 16), (4, 12), (7, 18), (9, 17), (7, 11), (12, 11)], []),
    "hand": (
        [(4, 0), (6, 0), (7, 6), (8, 5), (10, 5), (12, 7), (13, 5), (15, 5), (16, 8), (17, 7),
         (18, 8), (18, 14), (16, 17), (16, 20), (6, 20), (4, 16), (0, 10), (0, 8), (2, 8), (5, 12),
         (5, 7)],
        [((9, 12), (9, 17)), ((12, 12), (12, 17)), ((15, 12), (15, 17))],
    ),
    "cross": ([(7, 0), (9, 0), (9, 7), (16, 7), (16, 9), (9, 9), (9, 16), (7, 16), (7, 9), (0, 9),
               (0, 7), (7, 7)], []),
}  # fmt: skip


def with_text(picture: Gray, text: str, x: int, y: int, size: int, ink: int = 0) -> Gray:
    """The picture with a text where nothing was."""
    drawn = Image.fromarray(picture)
    ImageDraw.Draw(drawn).text((x, y), text, fill=ink, font=ImageFont.load_default(size))
    return np.array(drawn)
