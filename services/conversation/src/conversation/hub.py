"""The listeners of this process, and what wakes them.

Events reach a listener in two ways: handed over directly after a commit of this process, or, when
another replica wrote them, as a notification that there is something to read. Both only say "now":
what a listener sees is decided by positions alone (see listening.py).
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from fleetdesk.conversation.v1.conversation_pb2 import TurnEvent
from fleetkit.tasks import woken_within

# A listener further behind than this reads from the table instead.
_MAX_HANDED_OVER = 256


class Subscription:
    """One listener's place in the hub.

    `known_position` is the highest position it has heard of; `missed`: something may not have been
    said; `closed`: the process stops.
    """

    def __init__(self) -> None:
        self._events: deque[TurnEvent] = deque(maxlen=_MAX_HANDED_OVER)
        self._woken = asyncio.Event()
        self.known_position = 0
        self.missed = False
        self.closed = False

    def hand_over(self, events: Sequence[TurnEvent]) -> None:
        """Gives events of a commit, in order."""
        self._events.extend(events)
        self.tell(events[-1].position)

    def tell(self, position: int) -> None:
        """Says that events up to a position exist."""
        self.known_position = max(self.known_position, position)
        self._woken.set()

    def tell_to_look(self) -> None:
        """Says that something may have been missed."""
        self.missed = True
        self._woken.set()

    def close(self) -> None:
        """Says that there will be no more."""
        self.closed = True
        self._woken.set()

    def take(self) -> list[TurnEvent]:
        """The events handed over since the last time."""
        events = list(self._events)
        self._events.clear()
        self._woken.clear()
        return events

    async def wait(self, timeout_s: float) -> bool:
        """Waits until there is news; False when none came in time."""
        return await woken_within(self._woken, timeout_s)


class Hub:
    """All listeners of this process by conversation."""

    def __init__(self) -> None:
        self._subscriptions: dict[UUID, set[Subscription]] = {}
        self._closed = False

    @contextmanager
    def subscribe(self, conversation_id: UUID) -> Iterator[Subscription]:
        """A subscription for the length of the block."""
        subscription = Subscription()
        if self._closed:
            subscription.close()
        group = self._subscriptions.setdefault(conversation_id, set())
        group.add(subscription)
        try:
            yield subscription
        finally:
            group.discard(subscription)
            if not group:
                self._subscriptions.pop(conversation_id, None)

    def hand_over(self, conversation_id: UUID, events: Sequence[TurnEvent]) -> None:
        """Gives events that were committed just now to the conversation's listeners."""
        if events:
            for subscription in self._subscriptions.get(conversation_id, ()):
                subscription.hand_over(events)

    def tell(self, conversation_id: UUID, position: int) -> None:
        """Tells the conversation's listeners that events up to a position exist."""
        for subscription in self._subscriptions.get(conversation_id, ()):
            subscription.tell(position)

    def tell_all_to_look(self) -> None:
        """Makes every listener look at the table: notifications may have been missed."""
        for group in self._subscriptions.values():
            for subscription in group:
                subscription.tell_to_look()

    def close(self) -> None:
        """Ends all listeners, also those to come: the process stops."""
        self._closed = True
        for group in self._subscriptions.values():
            for subscription in group:
                subscription.close()
