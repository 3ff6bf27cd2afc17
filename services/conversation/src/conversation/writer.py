"""Writing an answer's text to its events while it comes, in small batches."""

import asyncio
import time

from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetkit.errors import Unavailable
from fleetkit.tasks import woken_within

from conversation.deps import Deps
from conversation.store import timeline
from conversation.turn import Turn, TurnLost

_RETRIES = 40
_RETRY_S = 0.25


class TurnWriter:
    """Appends text to a turn: the first at once, the next when there is enough of it or of time.

    `delta_interval_ms` and `delta_max_chars` say how much is enough. Stores in a task of its own,
    so that a turn that is cancelled never leaves an event half stored. `text` is all that was
    added, `rest` what is not stored yet.
    """

    def __init__(self, deps: Deps, turn: Turn) -> None:
        self._deps = deps
        self._turn = turn
        self._interval_s = deps.settings.delta_interval_ms / 1000
        self._max_chars = deps.settings.delta_max_chars
        self._stored = 0
        # TurnStarted has number 1.
        self._sequence = 1
        self._added = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.text = ""
        self.first_token_ms = 0

    @property
    def sequence(self) -> int:
        """Number of the last event stored."""
        return self._sequence

    @property
    def rest(self) -> str:
        """The text that is not stored yet."""
        return self.text[self._stored :]

    def add(self, text: str) -> None:
        """Adds text; raises what storing earlier text failed with."""
        if self._task is None:
            self._task = asyncio.create_task(self._store_forever(), name="turn_writer")
        elif self._task.done():
            self._task.result()
        self.text += text
        self._added.set()

    async def stop(self) -> None:
        """Ends the task after what it is storing; `rest` is left to the caller.

        Raises what storing failed with, so that the caller doesn't store what comes after it.
        """
        self._stopping.set()
        self._added.set()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _store_forever(self) -> None:
        while True:
            await self._added.wait()
            if self._stopping.is_set():
                return
            self._added.clear()
            if self.rest:
                await self._store(self.rest)
                await self._pause()

    async def _pause(self) -> None:
        """Lets text gather, for the interval or until there is enough of it."""
        ends_at = time.monotonic() + self._interval_s
        while (left := ends_at - time.monotonic()) > 0 and len(self.rest) < self._max_chars:
            if not await woken_within(self._added, left):
                break
            if self._stopping.is_set():
                return
            self._added.clear()
        self._added.set()

    async def _store(self, text: str) -> None:
        for attempt in range(_RETRIES):
            try:
                await self._append(text)
                break
            except Unavailable:
                if attempt == _RETRIES - 1 or self._stopping.is_set():
                    raise
                await asyncio.sleep(_RETRY_S)
        self._stored += len(text)
        self._sequence += 1
        if not self.first_token_ms:
            self.first_token_ms = self._turn.elapsed_ms

    async def _append(self, text: str) -> None:
        turn = self._turn
        event = pb.TurnEvent(
            message_id=str(turn.message_id),
            sequence=self._sequence + 1,
            delta=pb.TurnDelta(text=text),
        )
        position = await timeline.append_to_answer(
            self._deps.db,
            turn.tenant_id,
            turn.conversation_id,
            turn.message_id,
            self._deps.owner,
            event.sequence,
            event.SerializeToString(),
        )
        if position is None:
            raise TurnLost
        event.position = position
        self._deps.hub.hand_over(turn.conversation_id, [event])
