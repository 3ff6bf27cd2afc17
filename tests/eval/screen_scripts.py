"""Scripts of what happens on a screen, played on real captures, so that the truth is exact.

A change of text is drawn into the capture: a line replaced by another line of the same capture, a
digit of an error code, a word typed. What is no change: the same again, another compression, a
blinking caret, a moved pointer, a ticking clock.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from vision_agent.frames.boxes import Box

from .screens import Gray, Recording, as_sent

_INKS = ((20, 255), (90, 255), (175, 255), (230, 32), (105, 32))
_PAD = 4


@dataclass(frozen=True, slots=True)
class Step:
    """One frame: its kind, and where text changed with it, if it did.

    `version` counts what has been written: a frame of another version than the last one kept is no
    duplicate. The ticks of a clock count, but nobody has to see them.
    """

    gray: Gray
    kind: str
    change: Box | None
    version: int
    at_s: float


class Screen:
    """A capture that can be drawn on."""

    def __init__(self, gray: Gray, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._canvas = gray.copy()
        self._quality = 80
        self._version = 0
        self._second = -1.0

    def script(self) -> Iterator[Step]:
        """About 40 frames, one a second."""
        yield self._shot("first")
        yield from self._still(2)
        yield from self._changed("line", self._swap_line())
        yield from self._still(2)
        code = self._text_box("Error E-1041: sync failed", 0.25)
        yield self._shot("change", code.box)
        yield from self._still(3)
        code.write("Error E-1047: sync failed")
        yield self._shot("digit", code.box)
        yield from self._still(1)
        field = self._text_box("Search:", 0.55)
        yield self._shot("change", field.box)
        yield from self._caret(field, 4)
        field.write("Search: printer")
        yield self._shot("word", field.box)
        yield from self._caret(field, 2)
        yield from self._pointer(5)
        yield from self._typing(field, ["offline", "after", "update"])
        yield from self._clock(8, code)
        self._quality = 70
        yield self._shot("compression")
        yield from self._still(2)

    def _still(self, frames: int) -> Iterator[Step]:
        for _ in range(frames):
            yield self._shot("still")

    def _shot(self, kind: str, change: Box | None = None) -> Step:
        self._version += change is not None or kind == "clock"
        self._second += 1
        return Step(as_sent(self._canvas, self._quality), kind, change, self._version, self._second)

    def _changed(self, kind: str, box: Box | None) -> Iterator[Step]:
        if box is not None:
            yield self._shot(kind, box)

    def _swap_line(self) -> Box | None:
        """Puts another line of the capture where one is."""
        lines = text_lines(self._canvas)
        self._random.shuffle(lines)
        for one in lines:
            for other in lines:
                if one is other or other.width < one.width or abs(one.height - other.height) > 2:
                    continue
                target = self._part(one)
                source = self._part(Box(other.x, other.y, one.width, one.height))
                if source.shape == target.shape and (cv2.absdiff(source, target) > 60).sum() > 40:
                    target[:] = source.copy()
                    return one
        return None

    def _text_box(self, text: str, down: float) -> "TextBox":
        ink, paper = _INKS[int(self._random.integers(len(_INKS)))]
        size = int(self._random.integers(11, 17))
        height, width = self._canvas.shape
        left = int(self._random.integers(10, max(width - 460, 11)))
        box = TextBox(self._canvas, Box(left, int(height * down), 440, size * 2), ink, paper, size)
        box.write(text)
        return box

    def _caret(self, field: "TextBox", frames: int) -> Iterator[Step]:
        for number in range(frames):
            field.caret(shown=number % 2 == 0)
            yield self._shot("caret")
        field.caret(shown=False)

    def _pointer(self, frames: int) -> Iterator[Step]:
        clean = self._canvas.copy()
        height, width = clean.shape
        for _ in range(frames):
            self._canvas[:] = clean
            draw_pointer(
                self._canvas,
                int(self._random.integers(0, width - 20)),
                int(self._random.integers(0, height - 24)),
            )
            yield self._shot("pointer")
        # It stays where it is: its last place is part of the screen from now on.

    def _typing(self, field: "TextBox", words: list[str]) -> Iterator[Step]:
        text = "Search: printer"
        for word in words:
            text += f" {word}"
            field.write(text)
            yield self._shot("word", field.box)
        yield from self._still(3)

    def _clock(self, frames: int, code: "TextBox") -> Iterator[Step]:
        clock = self._text_box("10:41:07", 0.9)
        yield self._shot("change", clock.box)
        for number in range(frames):
            clock.write(f"10:41:{8 + number:02}")
            if number == frames // 2:
                code.write("Error E-2047: sync failed")
                yield self._shot("digit", code.box)
            else:
                yield self._shot("clock")
        yield from self._still(3)

    def _part(self, box: Box) -> Gray:
        return self._canvas[box.y : box.y + box.height, box.x : box.x + box.width]


class TextBox:
    """A line of text on a plain ground."""

    def __init__(self, canvas: Gray, box: Box, ink: int, paper: int, size: int) -> None:
        self._canvas = canvas
        self.box = box
        self._ink = ink
        self._paper = paper
        self._font = ImageFont.load_default(size)
        self._end = 0

    def write(self, text: str) -> None:
        """Replaces the line."""
        image = Image.new("L", (self.box.width, self.box.height), self._paper)
        draw = ImageDraw.Draw(image)
        draw.text((_PAD, _PAD), text, fill=self._ink, font=self._font)
        self._end = int(draw.textlength(text, font=self._font)) + _PAD + 2
        part = self._part()
        part[:] = np.asarray(image)[: part.shape[0], : part.shape[1]]

    def caret(self, *, shown: bool) -> None:
        """Draws or removes a caret behind the text."""
        part = self._part()
        part[3 : part.shape[0] - 6, self._end : self._end + 2] = self._ink if shown else self._paper

    def _part(self) -> Gray:
        box = self.box
        return self._canvas[box.y : box.y + box.height, box.x : box.x + box.width]


def text_lines(gray: Gray) -> list[Box]:
    """Boxes that look like lines of text: edges joined along the row."""
    edges = cv2.morphologyEx(gray, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    strong = (edges > 60).astype(np.uint8)
    joined = cv2.morphologyEx(strong, cv2.MORPH_CLOSE, np.ones((1, 13), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    return [
        Box(x, y, width, height)
        for x, y, width, height, _ in stats[1:count].tolist()
        if 9 <= height <= 24 and 40 <= width <= 400
    ]


def draw_pointer(canvas: Gray, x: int, y: int) -> None:
    """The usual arrow: black with a white rim, or the other way round."""
    arrow = np.array([[0, 0], [0, 16], [4, 12], [7, 18], [9, 17], [7, 11], [12, 11]], np.int32)
    cv2.fillPoly(canvas, [arrow + np.array([x, y])], (0,))
    cv2.polylines(canvas, [arrow + np.array([x, y])], True, (255,), 1)


Keep = Callable[[Gray, float], tuple[bool, tuple[Box, ...] | None]]


@dataclass(slots=True)
class Tally:
    """Sums over scripts: changes and those missed, other frames and those sent all the same."""

    changes: dict[str, list[int]]
    others: dict[str, list[int]]

    @classmethod
    def new(cls) -> "Tally":
        """Nothing counted."""
        return cls({}, {})

    @classmethod
    def sum(cls, tallies: Iterable["Tally"]) -> "Tally":
        """All of them together."""
        whole = cls.new()
        for tally in tallies:
            for counts, more in ((whole.changes, tally.changes), (whole.others, tally.others)):
                for kind, (hit, total) in more.items():
                    count = counts.setdefault(kind, [0, 0])
                    count[0] += hit
                    count[1] += total
        return whole

    @property
    def missed(self) -> float:
        """Share of changes that were not sent."""
        return _share(self.changes)

    @property
    def sent(self) -> float:
        """Share of unchanged frames that were sent."""
        return _share(self.others)


def play(steps: list[Step], keep: Keep, tally: Tally, within: int = 3) -> None:
    """Shows a script to `keep`, and counts.

    A change counts as seen when a frame is kept, at it or up to `within` frames later, whose boxes
    (None: the whole frame) meet it; one that is open when the script ends counts neither way. A
    frame is a duplicate when it shows the text of the last one
    kept.
    """
    open_changes: list[tuple[Box, int, str]] = []
    version = -1
    for number, step in enumerate(steps):
        kept, boxes = keep(step.gray, step.at_s)
        duplicate = step.version == version
        version = step.version if kept else version
        if step.change is not None:
            open_changes.append((step.change, number, step.kind))
        seen = [c for c in open_changes if kept and _meets(boxes, c[0])]
        for change in seen:
            tally.changes.setdefault(change[2], [0, 0])[1] += 1
        late = [c for c in open_changes if c not in seen and number - c[1] >= within]
        for change in late:
            count = tally.changes.setdefault(change[2], [0, 0])
            count[0] += 1
            count[1] += 1
        if duplicate:
            count = tally.others.setdefault(step.kind, [0, 0])
            count[0] += kept
            count[1] += 1
        open_changes = [c for c in open_changes if c not in seen and c not in late]


def as_script(recording: Recording) -> list[Step]:
    """A recording as a script: a change may be anywhere in the frame."""
    steps: list[Step] = []
    version = 0
    for number, shot in enumerate(recording.shots):
        everywhere = Box(0, 0, shot.gray.shape[1], shot.gray.shape[0])
        # What is unclear counts neither way.
        version += shot.changed is not False
        change = everywhere if shot.changed and number else None
        steps.append(Step(shot.gray, "recorded", change, version, shot.at_s))
    return steps


def _meets(boxes: tuple[Box, ...] | None, change: Box) -> bool:
    return boxes is None or any(box.overlaps(change) for box in boxes)


def _share(counts: dict[str, list[int]]) -> float:
    whole = sum(total for _, total in counts.values())
    return sum(hit for hit, _ in counts.values()) / whole if whole else 0.0
