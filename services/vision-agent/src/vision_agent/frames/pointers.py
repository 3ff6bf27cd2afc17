"""The mouse pointer of one shared screen: told by its outline, then by how it looks."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from vision_agent.frames.boxes import cut, grown, within
from vision_agent.frames.carets import is_caret
from vision_agent.frames.images import Gray
from vision_agent.frames.looks import Looks
from vision_agent.frames.outlines import is_pointer, may_hold
from vision_agent.frames.parts import MIN_PIXELS, TOUCH, Part, filled, pieces_of

# Nobody has two pointers: what is seen of one is at most where it was and where it is.
_MOST = 2
# Ground: so many of the pixels are so near to what surrounds them.
_GROUND_LEVELS = 24
_GROUND_SHARE = 0.85
_RING = 3


class _Sign(enum.Enum):
    """What a part says of a pointer; HIDDEN: its outline, over something."""

    CAME = enum.auto()
    WENT = enum.auto()
    HIDDEN = enum.auto()


@dataclass(slots=True)
class Pointers:
    """What is known of the pointer of one screen."""

    _looks: Looks = field(default_factory=Looks)

    def find(self, before: Gray, after: Gray, parts: Sequence[Part]) -> list[Part]:
        """Those parts that are one pointer gone, one come, or both."""
        outlined = {part: _outlines_of(part) for part in parts}
        signs = {
            part: [_sign(before, after, piece) for piece in pieces]
            for part, pieces in outlined.items()
        }
        if not _of_one(signs):
            return []
        for piece in (piece for pieces in outlined.values() for piece in pieces):
            shown = after if _came(before, after, piece) else before
            self._looks.remember(shown, piece, is_pointer=True)
        unknown = [part for part in parts if not signs[part]]
        if len(unknown) <= _MOST:
            for part in unknown:
                seen = self._by_looks(before, after, part)
                if seen and _of_one({**signs, part: seen}):
                    signs[part] = seen
                elif _came(before, after, part):
                    self._looks.remember(after, part, is_pointer=False)
        return [part for part in parts if signs[part]]

    def _by_looks(self, before: Gray, after: Gray, part: Part) -> list[_Sign]:
        """CAME, WENT or both, where pointers in the frames cover all of the part."""
        rest = np.array(part.mask)
        signs: list[_Sign] = []
        for sign, frame, other in ((_Sign.CAME, after, before), (_Sign.WENT, before, after)):
            covered = self._looks.covered(frame, other, part, came=sign is _Sign.CAME)
            if covered is not None and cv2.countNonZero(rest[covered]):
                rest[covered] = 0
                signs.append(sign)
        return signs if cv2.countNonZero(rest) < MIN_PIXELS else []


def _of_one(signs: Mapping[Part, list[_Sign]]) -> bool:
    """Whether all of it can be one pointer, gone and come."""
    said = [sign for each in signs.values() for sign in each]
    return len(said) <= _MOST and said.count(_Sign.CAME) <= 1 and said.count(_Sign.WENT) <= 1


def _outlines_of(part: Part) -> list[Part]:
    """The part's pieces, if each has the outline of a pointer, or is a caret beside one."""
    if not may_hold(part.box):
        return []
    pieces = [piece for piece in pieces_of(part) if not is_caret(piece)]
    return pieces if all(is_pointer(piece) for piece in pieces) else []


def _sign(before: Gray, after: Gray, part: Part) -> _Sign:
    was, now = _is_ground(before, part), _is_ground(after, part)
    if was == now:
        return _Sign.HIDDEN
    return _Sign.CAME if was else _Sign.WENT


def _is_ground(frame: Gray, part: Part) -> bool:
    """Whether the frame shows nothing there but what surrounds it."""
    around = grown(part.box, frame.shape, _RING)
    pixels = cut(frame, around)
    own = np.zeros(pixels.shape, np.uint8)
    cut(own, within(part.box, around))[:] = part.mask
    ring = pixels[cv2.dilate(own, TOUCH, iterations=2) == 0]
    if not ring.size:
        return False
    ground = float(np.median(ring))
    near = np.abs(pixels[own > 0].astype(np.float32) - ground) <= _GROUND_LEVELS
    return float(near.mean()) >= _GROUND_SHARE


def _came(before: Gray, after: Gray, part: Part) -> bool:
    """Whether it is the later frame that shows the part's outline as an edge."""
    around = grown(part.box, before.shape, 1)
    own = np.zeros((around.height, around.width), np.uint8)
    cut(own, within(part.box, around))[:] = part.mask
    whole = filled(own)
    edge = whole != cv2.erode(whole, TOUCH)
    was, now = (
        float(cv2.morphologyEx(cut(frame, around), cv2.MORPH_GRADIENT, TOUCH)[edge].mean())
        for frame in (before, after)
    )
    return now > was
