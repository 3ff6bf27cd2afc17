"""The shared screens that this process watches: bounded, and forgotten when they go quiet.

Nothing here outlives the process. After a restart the next frame of a session is new.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from fleetkit.context import Attribution

from vision_agent.frames.boxes import Box
from vision_agent.frames.content import ContentType
from vision_agent.frames.deciding import Eyes
from vision_agent.frames.images import Gray
from vision_agent.store import SessionKey

# One that is shared, and the one before a page was loaded again.
_MOST_OF_CONVERSATION = 2


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text on a screen."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Unread:
    """A kept frame that waits to be read; without `boxes` the text is as it was.

    `blocks`: what changed and holds no text. `content` is what it shows: it decides what reads it.
    `rested`: nothing else changed for a while.
    """

    frame_id: UUID
    image: bytes
    size: tuple[int, int]
    boxes: tuple[Box, ...]
    captured: datetime
    content: ContentType
    blocks: tuple[Box, ...] = ()
    rested: bool = False


@dataclass(frozen=True, slots=True)
class Sight:
    """What is to be seen on a screen beside text, in a sentence, and where."""

    text: str = ""
    boxes: tuple[Box, ...] = ()


@dataclass(slots=True)
class Screen:
    """One sharing session. `turn` is held while a frame is decided about.

    `seen_at`: when a frame was last sent, whatever became of it; `came_at`: when one was last
    decided about. `missed`: parts of kept frames whose reading failed. `pictures`: what changed and
    held no text, to be looked at when the screen rests; `sight`: what was seen of such. `decoded`:
    digest and pixels of the last image.
    """

    key: SessionKey
    attribution: Attribution
    allowed_until: float
    eyes: Eyes = field(default_factory=Eyes)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    last_number: int = 0
    seen_at: float = field(default_factory=time.monotonic)
    came_at: float = float("-inf")
    captured: int = 0
    kept: int = 0
    unread: Unread | None = None
    reading: bool = False
    lines: list[TextLine] = field(default_factory=list)
    missed: tuple[Box, ...] = ()
    pictures: tuple[Box, ...] = ()
    sight: Sight = Sight()
    decoded: tuple[bytes, Gray] | None = None


class Screens:
    """At most `most` screens, `of_tenant` of a tenant, two of a conversation.

    Those unseen for `ttl_s` go. Of a tenant's too many the longest unseen goes; of too many in
    all, the longest unseen of the tenant that has the most: a tenant with no more than its share
    loses none to another. What goes is not read any more: a session is a name that whoever shares
    makes up, and each begins with a whole picture.
    """

    def __init__(self, most: int, of_tenant: int, ttl_s: float) -> None:
        self._most = most
        self._of_tenant = of_tenant
        self._ttl_s = ttl_s
        self._screens: OrderedDict[SessionKey, Screen] = OrderedDict()

    def __len__(self) -> int:
        return len(self._screens)

    def get(self, key: SessionKey) -> Screen | None:
        """The screen, if it is known."""
        self.forget_quiet()
        screen = self._screens.get(key)
        if screen is not None:
            self._see(screen)
        return screen

    def add(self, screen: Screen) -> Screen:
        """Adds a screen unless there is one by now; the one that counts."""
        known = self._screens.setdefault(screen.key, screen)
        self._see(known)
        of_conversation = [
            key for key in self._screens if _conversation(key) == _conversation(screen.key)
        ]
        for key in of_conversation[:-_MOST_OF_CONVERSATION]:
            self.drop(key)
        of_tenant = [key for key in self._screens if key.tenant_id == screen.key.tenant_id]
        for key in of_tenant[: -self._of_tenant]:
            self.drop(key)
        while len(self._screens) > self._most:
            tenants = Counter(key.tenant_id for key in self._screens)
            [(largest, _)] = tenants.most_common(1)
            self.drop(next(key for key in self._screens if key.tenant_id == largest))
        return known

    def drop(self, key: SessionKey) -> None:
        """Forgets a screen and what it showed, also where it waits to be read."""
        screen = self._screens.pop(key, None)
        if screen is not None:
            screen.unread, screen.lines, screen.eyes = None, [], Eyes()

    def forget_quiet(self) -> None:
        """Drops the screens that went quiet."""
        limit = time.monotonic() - self._ttl_s
        for key in [key for key, screen in self._screens.items() if screen.seen_at < limit]:
            self.drop(key)

    async def forget_forever(self) -> None:
        """Drops quiet screens, also while nobody shares."""
        while True:
            await asyncio.sleep(self._ttl_s / 4)
            self.forget_quiet()

    def _see(self, screen: Screen) -> None:
        screen.seen_at = time.monotonic()
        self._screens.move_to_end(screen.key)


def _conversation(key: SessionKey) -> tuple[UUID, UUID]:
    return key.tenant_id, key.conversation_id
