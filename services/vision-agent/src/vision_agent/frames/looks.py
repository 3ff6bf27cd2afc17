"""How the pointer of one shared screen looks: pictures of it, found again over anything.

Where it stands on plain ground, its outline says what it is, and its picture is remembered. Over
text, cut off by the frame, or overlapping where it was, little is seen of an outline; there the
remembered pictures are looked for, then pointers as systems draw them. So is a picture of a
pointer's size that came unexplained: when it stands somewhere else and is gone from where it was,
it is a pointer of another shape.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vision_agent.frames.boxes import Box, cut, grown, within
from vision_agent.frames.drawings import drawings_for
from vision_agent.frames.images import Gray
from vision_agent.frames.outlines import has_size
from vision_agent.frames.parts import TOUCH, Part, filled

_MOST = 6
# Pixels of what surrounds a pointer that belong to its picture, and that it may cover beyond.
_MARGIN = 3
_RIM = 2
# How far from a part's rectangle its pointer may reach.
_REACH = 8
# Correlation of the pixels under a picture's mask: of the same pointer .8 and more over any text,
# of anything else that was there .4 and less, of thin ones .75.
_LIKENESS = 0.8
# What is less like the middle one of alike drawings is none of them. One pixel higher or lower an
# arrow is seven tenths as much like another and more, a hand as well.
_WORTH_A_TRY = 0.65
# Of a picture that the frame cuts off so many rows or columns have to be seen.
_FEWEST_SEEN = 6
# Levels by which a picture may differ, on average, where it still stands.
_SAME_LEVELS = 24


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """A picture of a pointer, and which of its pixels are its own.

    `place`: where it came, as long as nothing else says that it is a pointer. `any_tone`: it may be
    seen as its negative.
    """

    picture: NDArray[np.float32]
    mask: NDArray[np.float32]
    enough: float = _LIKENESS
    place: Box | None = None
    any_tone: bool = False


@dataclass(slots=True)
class Looks:
    """The looks that the pointer has had, the last one first."""

    _known: deque[_Look] = field(default_factory=lambda: deque(maxlen=_MOST))

    def covered(
        self, frame: Gray, other: Gray, part: Part, *, came: bool
    ) -> NDArray[np.bool_] | None:
        """What of the part a pointer covers in a frame that it came to or went from, if any does.

        `other` is the frame without it.
        """
        region = grown(part.box, frame.shape, _REACH)
        pixels = cut(frame, region).astype(np.float32)
        for look in list(self._known):
            if look.place is not None and not (
                came and _has_left(look, look.place, other, frame, part)
            ):
                continue
            for shown in _shown(look, part, frame.shape):
                at = _place_of(shown, pixels)
                if at is not None:
                    self._put_first(look)
                    return _reach(shown, at, region, part)
        found = _drawn_in(pixels, part.box) if has_size(part.box) else None
        if found is None:
            return None
        drawn, at = found
        own = np.array(pixels[at.y : at.y + at.height, at.x : at.x + at.width])
        self._known.appendleft(_Look(own, drawn.mask))
        return _reach(drawn, at, region, part)

    def remember(self, frame: Gray, part: Part, *, is_pointer: bool) -> None:
        """Keeps the part's picture, unless it is known or no pointer's size."""
        if not has_size(part.box):
            return
        place = grown(part.box, frame.shape, _MARGIN)
        mask = np.zeros((place.height, place.width), np.uint8)
        cut(mask, within(part.box, place))[:] = part.mask
        around = cut(frame, grown(part.box, frame.shape, _REACH)).astype(np.float32)
        known = next((look for look in self._known if _place_of(look, around) is not None), None)
        if known is None:
            picture = cut(frame, place).astype(np.float32)
            own = cv2.dilate(filled(mask), TOUCH).astype(np.float32)
            self._known.appendleft(_Look(picture, own, place=None if is_pointer else place))
        elif is_pointer:
            self._put_first(known)

    def _put_first(self, look: _Look) -> None:
        """It is a pointer, and likely to be seen next."""
        self._known.remove(look)
        self._known.appendleft(replace(look, place=None))


def _has_left(look: _Look, place: Box, before: Gray, after: Gray, part: Part) -> bool:
    """Whether what came unexplained has left its place, and the part is elsewhere."""
    if part.box.overlaps(place):
        return False
    was, now = (
        float(np.abs(cut(frame, place) - look.picture)[look.mask > 0].mean())
        for frame in (before, after)
    )
    return was <= _SAME_LEVELS < now


def _shown(look: _Look, part: Part, shape: tuple[int, ...]) -> Iterator[_Look]:
    """The look, whole and, where the part is at the frame's edge, as much of it as is within."""
    height, width = look.mask.shape
    box = part.box
    if box.height > 2 * height or box.width > 2 * width:
        return
    yield look
    # Along its edge the frame may show what does not differ from the pointer.
    tall, wide = shape[0] - box.y + _MARGIN, shape[1] - box.x + _MARGIN
    if tall <= box.height + _MARGIN + _RIM and _FEWEST_SEEN <= tall < height:
        yield _Look(look.picture[:tall], look.mask[:tall])
    if wide <= box.width + _MARGIN + _RIM and _FEWEST_SEEN <= wide < width:
        yield _Look(look.picture[:, :wide], look.mask[:, :wide])


def _drawn_in(pixels: NDArray[np.float32], box: Box) -> tuple[_Look, Box] | None:
    """The drawn pointer that could fill the box and is among the pixels, and where."""
    for alike in drawings_for(box):
        for picture, mask, enough in alike:
            drawn = _Look(picture, mask, enough, any_tone=True)
            likeness, at = _best_place(drawn, pixels)
            if likeness >= enough:
                return drawn, at
            if likeness < _WORTH_A_TRY * enough:
                break
    return None


def _place_of(look: _Look, pixels: NDArray[np.float32]) -> Box | None:
    """Where among the pixels the look is."""
    likeness, at = _best_place(look, pixels)
    return at if likeness >= look.enough else None


def _best_place(look: _Look, pixels: NDArray[np.float32]) -> tuple[float, Box]:
    """How much like the look the pixels are at most, and where."""
    height, width = look.mask.shape
    if height > pixels.shape[0] or width > pixels.shape[1]:
        return 0.0, Box(0, 0, width, height)
    found = cv2.matchTemplate(
        pixels, np.ascontiguousarray(look.picture), cv2.TM_CCOEFF_NORMED,
        mask=np.ascontiguousarray(look.mask),
    )  # fmt: skip
    # Where nothing is to be correlated it is no number, or any.
    found[~(np.abs(found) <= 1.001)] = 0
    if look.any_tone:
        found = np.abs(found)
    _, most, _, (x, y) = cv2.minMaxLoc(found)
    return most, Box(x, y, width, height)


def _reach(look: _Look, at: Box, region: Box, part: Part) -> NDArray[np.bool_]:
    """Which pixels of the part's rectangle the look covers there."""
    whole = np.zeros((region.height, region.width), np.uint8)
    cut(whole, at)[:] = look.mask
    whole = np.asarray(cv2.dilate(whole, TOUCH, iterations=_RIM), np.uint8)
    return cut(whole, within(part.box, region)) > 0
