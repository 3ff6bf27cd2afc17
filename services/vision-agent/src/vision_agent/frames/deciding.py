"""Whether a frame shows something that was not seen yet, and why."""

import enum
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vision_agent.frames import content, tiles
from vision_agent.frames.boxes import Box
from vision_agent.frames.content import ContentModel, ContentType, StableType
from vision_agent.frames.images import Gray
from vision_agent.frames.perceptual import distance, phash
from vision_agent.frames.pointers import Pointers
from vision_agent.frames.tiles import Change, TileRule, Tiles

_HISTORY = 8
_LONG_PAUSE_S = 5.0
# Where frames come as often as that, one more may be waited for.
_SOON_S = 2.0
# Below it, the type of content is not looked at again.
_TYPE_SHARE = 0.05
_SCENE_SHARE = 0.02
# Above half of the frame, reading it whole costs no more than reading its parts.
_WHOLE_SHARE = 0.5
_BITS = np.array([value.bit_count() for value in range(256)], np.uint8)


class Reason(enum.StrEnum):
    """Why a frame is kept or not."""

    NEW = "new"
    RESIZED = "resized"
    SPEECH_ONSET = "speech_onset"
    SCENE = "scene"
    TILE_CHANGED = "tile_changed"
    HEARTBEAT = "heartbeat"
    DUPLICATE = "duplicate"

    @property
    def kept(self) -> bool:
        """Whether the frame is kept."""
        return self is not Reason.DUPLICATE


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that a decision depends on beside the frames; fitted, see `fitted.toml`.

    `little_tiles`: a change of so many tiles without a word is to be seen in another frame.
    `restless_changes`: a tile that changed in so many of the last 8 frames, and still does, is
    waited for. `video_share`: the share of restless tiles from which a screen shows video.
    """

    model: ContentModel
    thresholds: dict[ContentType, int]
    tile: TileRule
    little_tiles: int
    restless_changes: int
    video_share: float
    heartbeat_s: float = 10.0

    @classmethod
    def load(cls, fitted: dict[str, Any] | None = None) -> "Rules":
        """The rules in a fitted file, by default the one that ships with the service."""
        found: dict[str, Any] = fitted or content.load_fitted()
        of_tiles: dict[str, Any] = found["tiles"]
        return cls(
            model=content.parse_model(found["content"]),
            thresholds={kind: found["phash"][kind] for kind in ContentType},
            tile=TileRule(of_tiles["min_levels"], of_tiles["min_pixels"], of_tiles["word_aspect"]),
            little_tiles=of_tiles["little_tiles"],
            restless_changes=of_tiles["restless_changes"],
            video_share=of_tiles["video_share"],
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a frame. `boxes`: what to read of it, empty when nothing changed.

    `blocks`: what changed of a kept frame and holds no text. `waits`: little changed, and it is to
    be seen in another frame before it is read.
    """

    reason: Reason
    type: ContentType
    type_changed_from: ContentType | None
    distance: int
    threshold: int
    tiles_changed: int
    tiles_restless: int
    tiles_total: int
    boxes: tuple[Box, ...]
    blocks: tuple[Box, ...] = ()
    waits: bool = False

    @property
    def kept(self) -> bool:
        """Whether the frame is kept."""
        return self.reason.kept


@dataclass(slots=True)
class Eyes:
    """What is remembered of one shared screen: about 4 MB at 1080p.

    `reference` is the last kept frame, `reference_hash` its hash once it was wanted, `previous` the
    last one of any fate; times are seconds of the capture's clock; `moved`: tiles that changed
    since the type was looked at; `waiting`: a change that is to be seen once more.
    """

    reference: Gray | None = None
    previous: Gray | None = None
    reference_hash: int | None = None
    kept_s: float = 0.0
    previous_s: float = 0.0
    history: NDArray[np.uint8] | None = None
    stable: StableType = field(default_factory=StableType)
    moved: int = 0
    pointers: Pointers = field(default_factory=Pointers)
    waiting: Change | None = None

    def look(self, gray: Gray, at_s: float, rules: Rules, *, fresh: bool = False) -> Decision:
        """Decides about the next frame and remembers it. `fresh`: keep it whatever it shows."""
        if self.reference is None or self.previous is None or self.history is None:
            return self._keep_all(gray, at_s, rules, Reason.NEW)
        if gray.shape != self.reference.shape:
            return self._keep_all(gray, at_s, rules, Reason.RESIZED)
        soon = at_s - self.previous_s <= _SOON_S
        moved = tiles.changed_content(self.previous, gray, rules.tile, self.pointers)
        now = moved.tiles
        restless = self._restless(now, self.history, at_s, rules)
        if self.previous is self.reference and not restless.any():
            change = moved
        elif self.waiting is not None and moved.nothing and not restless.any():
            change = self.waiting
        else:
            change = tiles.changed_content(
                self.reference, gray, rules.tile, self.pointers, ~restless
            )
        self.previous = gray
        moved_from = self._see_type(gray, now, restless, rules)
        waits = not fresh and soon and self._waits(change, now, restless, rules)
        self.waiting = change if waits else None
        return self._settle(
            gray, at_s, rules, change, restless, moved_from, fresh=fresh, waits=waits
        )

    def _waits(self, change: Change, now: Tiles, restless: Tiles, rules: Rules) -> bool:
        """Whether what changed has to be seen in another frame: little, and no wider than high.

        Icons, rings, pointers of other shapes and what a pointer brings about are gone by then. A
        screen on which something does not rest is not waited for once more.
        """
        little = 0 < np.count_nonzero(change.tiles) <= rules.little_tiles
        if not little or change.wide or restless.any():
            return False
        return self.waiting is None or not (change.tiles & self.waiting.tiles & ~now).any()

    def _settle(
        self,
        gray: Gray,
        at_s: float,
        rules: Rules,
        change: Change,
        restless: Tiles,
        moved_from: ContentType | None,
        *,
        fresh: bool,
        waits: bool,
    ) -> Decision:
        kind = self.stable.type or ContentType.STATIC_UI
        threshold = rules.thresholds[kind]
        changes = np.zeros_like(change.tiles) if waits else change.tiles
        # Less than that makes no other scene, and is not worth the time of a hash.
        hashed = phash(gray) if changes.mean() >= _SCENE_SHARE else None
        apart = 0 if hashed is None else distance(hashed, self._hash_of_reference())
        reason = self._reason(at_s, rules, apart, threshold, changes, fresh=fresh)
        if reason.kept and kind is not ContentType.VIDEO:
            # The frame is sent anyhow: what does not rest is read with it, and is no change when
            # it rests as it is. What never rests, as a log that scrolls, is read by heartbeats.
            changes, restless = changes | restless, np.zeros_like(restless)
        if reason.kept:
            self.kept_s = at_s
        blocks = change.blocks if reason.kept and not waits else ()
        if blocks or (reason.kept and (changes.any() or restless.any())):
            # What is still moving has not been read: it stays as it was, to be found when it rests.
            self._refer_to(gray, restless, hashed)
        return Decision(
            reason=reason,
            type=kind,
            type_changed_from=moved_from,
            distance=apart,
            threshold=threshold,
            tiles_changed=int(np.count_nonzero(changes)),
            tiles_restless=int(np.count_nonzero(restless)),
            tiles_total=changes.size,
            boxes=_boxes(changes, gray.shape) if reason.kept else (),
            blocks=blocks,
            waits=waits,
        )

    def _reason(
        self,
        at_s: float,
        rules: Rules,
        apart: int,
        threshold: int,
        changes: Tiles,
        *,
        fresh: bool,
    ) -> Reason:
        if fresh:
            return Reason.SPEECH_ONSET
        if changes.any():
            return Reason.SCENE if apart > threshold else Reason.TILE_CHANGED
        return Reason.HEARTBEAT if at_s - self.kept_s >= rules.heartbeat_s else Reason.DUPLICATE

    def _keep_all(self, gray: Gray, at_s: float, rules: Rules, reason: Reason) -> Decision:
        """Keeps a frame that there is nothing to compare with."""
        before = self.stable.type
        shown = rules.model.classify(content.signals(gray))
        moved_from = before if self.stable.see(shown) else None
        self.reference = self.previous = gray
        self.reference_hash = None
        self.kept_s = self.previous_s = at_s
        self.waiting = None
        self.history = np.zeros(tiles.grid(gray.shape), np.uint8)
        kind = self.stable.type or shown
        total = self.history.size
        return Decision(
            reason=reason,
            type=kind,
            type_changed_from=moved_from,
            distance=0,
            threshold=rules.thresholds[kind],
            tiles_changed=total,
            tiles_restless=0,
            tiles_total=total,
            boxes=(Box(0, 0, gray.shape[1], gray.shape[0]),),
        )

    def _restless(self, now: Tiles, history: NDArray[np.uint8], at_s: float, rules: Rules) -> Tiles:
        """Tiles that keep changing: spinners, clocks, video, a word being typed."""
        if at_s - self.previous_s > _LONG_PAUSE_S:
            # What changed long ago says nothing of how things move.
            history[:] = 0
        self.previous_s = at_s
        np.left_shift(history, 1, out=history)
        history |= now.astype(np.uint8)
        often = _BITS[history]
        lately = (history & 0b11) != 0
        very_often = (often > _HISTORY // 2) & lately
        return ((often >= rules.restless_changes) & now) | very_often

    def _see_type(
        self, gray: Gray, now: Tiles, restless: Tiles, rules: Rules
    ) -> ContentType | None:
        """Looks at the type where much changed since it was looked at; the one before if it is new.

        A few words or a moved pointer make no other type of a screen.
        """
        before = self.stable.type
        if restless.mean() >= rules.video_share:
            return before if self.stable.see(ContentType.VIDEO) else None
        self.moved += int(np.count_nonzero(now))
        if self.stable.settled and self.moved < _TYPE_SHARE * now.size:
            return None
        shown = rules.model.classify(content.signals(gray))
        moved_from = before if self.stable.see(shown) else None
        if self.stable.settled:
            self.moved = 0
        return moved_from

    def _hash_of_reference(self) -> int:
        if self.reference_hash is None:
            assert self.reference is not None  # noqa: S101
            self.reference_hash = phash(self.reference)
        return self.reference_hash

    def _refer_to(self, gray: Gray, restless: Tiles, hashed: int | None) -> None:
        assert self.reference is not None  # noqa: S101
        kept = gray
        if restless.any():
            kept = np.array(gray)
            for row, column in np.argwhere(restless).tolist():
                y, x = row * tiles.TILE, column * tiles.TILE
                part = np.s_[y : y + tiles.TILE, x : x + tiles.TILE]
                kept[part] = self.reference[part]
        self.reference = kept
        self.reference_hash = hashed


def _boxes(changes: Tiles, shape: tuple[int, ...]) -> tuple[Box, ...]:
    if not changes.any():
        return ()
    found = tiles.boxes(changes, shape)
    covered = sum(box.width * box.height for box in found)
    if covered > _WHOLE_SHARE * shape[0] * shape[1]:
        return (Box(0, 0, shape[1], shape[0]),)
    return tuple(found)
