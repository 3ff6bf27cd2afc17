"""The shared screens that this process watches: bounded, and forgotten when they go quiet.

Nothing here outlives the process. After a restart the next frame of a session is new.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from fleetkit.context import Attribution

from vision_agent.frames.deciding import Eyes
from vision_agent.frames.tiles import Box
from vision_agent.store import SessionKey


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text on a screen."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Unread:
    """A kept frame that waits to be read; without `boxes` the text is as it was."""

    frame_id: UUID
    image: bytes
    size: tuple[int, int]
    boxes: tuple[Box, ...]
    captured: datetime


@dataclass(slots=True)
class Screen:
    """One sharing session. `turn` is held while a frame is decided about.

    `missed`: parts of kept frames whose reading failed.
    """

    key: SessionKey
    attribution: Attribution
    allowed_until: float
    eyes: Eyes = field(default_factory=Eyes)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    last_number: int = 0
    came_at: float = float("-inf")
    captured: int = 0
    kept: int = 0
    unread: Unread | None = None
    reading: bool = False
    lines: list[TextLine] = field(default_factory=list)
    missed: tuple[Box, ...] = ()


class Screens:
    """At most `most` screens; those unseen for `ttl_s` go, and the longest unseen of too many."""

    def __init__(self, most: int, ttl_s: float) -> None:
        self._most = most
        self._ttl_s = ttl_s
        self._screens: OrderedDict[SessionKey, Screen] = OrderedDict()

    def __len__(self) -> int:
        return len(self._screens)

    def get(self, key: SessionKey) -> Screen | None:
        """The screen, if it is known."""
        self._drop_quiet()
        screen = self._screens.get(key)
        if screen is not None:
            self._screens.move_to_end(key)
        return screen

    def add(self, screen: Screen) -> Screen:
        """Adds a screen unless there is one by now; the one that counts."""
        known = self._screens.setdefault(screen.key, screen)
        self._screens.move_to_end(screen.key)
        while len(self._screens) > self._most:
            self._screens.popitem(last=False)
        return known

    def _drop_quiet(self) -> None:
        # A screen that has sent nothing yet is not quiet.
        limit = time.monotonic() - self._ttl_s
        while self._screens:
            key, oldest = next(iter(self._screens.items()))
            if oldest.came_at == float("-inf") or oldest.came_at >= limit:
                return
            del self._screens[key]
