"""Counts of frames: gathered in memory, written in small batches, with the events they cause."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from fleetdesk.vision_agent.v1 import events_pb2
from fleetkit.clock import Clock
from fleetkit.errors import FleetError
from fleetkit.events import publish
from fleetkit.logging import get_logger
from fleetkit.postgres import Database

from vision_agent import store
from vision_agent.store import CountRow, SessionKey, SessionRow, TransitionRow

_LOG_EVERY = 100
_MAX_SESSIONS = 100
_MAX_EVENTS = 10_000


@dataclass(slots=True)
class _Pending:
    """What one session added since the last batch."""

    last_time: datetime
    ignored: int = 0
    superseded: int = 0
    read: int = 0
    captured: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: list[events_pb2.FrameKept] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stats:
    """The counts of a conversation."""

    sessions: list[SessionRow]
    counts: list[CountRow]
    transitions: list[TransitionRow]


class Statistics:
    """Adds up; `write_forever` writes what has been added every `interval_s`."""

    def __init__(self, db: Database, clock: Clock, interval_s: float) -> None:
        self._db = db
        self._clock = clock
        self._interval_s = interval_s
        self._pending: dict[SessionKey, _Pending] = {}

    def ignored(self, key: SessionKey) -> None:
        """A frame came out of order or too soon."""
        self._of(key).ignored += 1

    def superseded(self, key: SessionKey) -> None:
        """A kept frame will not be read: a newer one came first."""
        self._of(key).superseded += 1

    def read(self, key: SessionKey) -> None:
        """A kept frame was read."""
        self._of(key).read += 1

    def decided(
        self, key: SessionKey, shown: str, before: str | None, kept: events_pb2.FrameKept | None
    ) -> None:
        """A frame was decided about; `before` is the type that the screen showed until now."""
        pending = self._of(key)
        pending.captured[shown] += 1
        if before is not None:
            pending.transitions[before, shown] += 1
        if kept is not None:
            pending.kept[shown] += 1
            if len(pending.events) < _MAX_EVENTS:
                pending.events.append(kept)

    async def write_forever(self) -> None:
        """Writes batches; what can't be written now waits for the next one."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.write()

    async def write(self) -> None:
        """Writes everything that was added."""
        batch, self._pending = self._pending, {}
        for key, pending in batch.items():
            try:
                await self._write(key, pending)
            except FleetError as error:
                get_logger().warning("frame_counts_wait", error=type(error).__name__)
                self._put_back(key, pending)

    async def _write(self, key: SessionKey, pending: _Pending) -> None:
        async with self._db.tenant(key.tenant_id) as conn:
            await store.add_to_session(
                conn, key, pending.last_time, pending.ignored, pending.superseded, pending.read
            )
            for shown, captured in pending.captured.items():
                await store.add_counts(conn, key, shown, captured, pending.kept[shown])
            for (before, after), count in pending.transitions.items():
                await store.add_transitions(conn, key, before, after, count)
            for event in pending.events:
                await publish(conn, event, revision=1)
            counted = _counted(key, pending)
            if counted is not None:
                await publish(conn, counted, revision=1)

    def _of(self, key: SessionKey) -> _Pending:
        pending = self._pending.setdefault(key, _Pending(self._clock.now()))
        pending.last_time = self._clock.now()
        return pending

    def _put_back(self, key: SessionKey, failed: _Pending) -> None:
        newer = self._of(key)
        newer.ignored += failed.ignored
        newer.superseded += failed.superseded
        newer.read += failed.read
        newer.captured += failed.captured
        newer.kept += failed.kept
        newer.transitions += failed.transitions
        newer.events = [*failed.events, *newer.events][:_MAX_EVENTS]


def _counted(key: SessionKey, pending: _Pending) -> events_pb2.FramesCounted | None:
    """What a batch adds, for those who add up; None when every frame of it was ignored."""
    captured, kept = pending.captured.total(), pending.kept.total()
    if not (captured or pending.superseded or pending.read):
        return None
    return events_pb2.FramesCounted(
        conversation_id=str(key.conversation_id),
        session_id=str(key.session_id),
        captured_count=captured,
        kept_count=kept,
        superseded_count=pending.superseded,
        read_count=pending.read,
    )


def log_every_100(key: SessionKey, captured: int, kept: int) -> None:
    """One line for every hundred frames of a session."""
    if captured % _LOG_EVERY == 0:
        get_logger().info(
            "frames",
            conversation_id=str(key.conversation_id),
            session_id=str(key.session_id),
            captured=captured,
            kept=kept,
            duplicate_share=round(1 - kept / captured, 3),
        )


async def stats_of(db: Database, tenant_id: UUID, conversation_id: UUID) -> Stats:
    """The counts of a conversation's first 100 sessions."""
    async with db.tenant(tenant_id) as conn:
        sessions = await store.list_sessions(conn, tenant_id, conversation_id, _MAX_SESSIONS)
        ids = [session.session_id for session in sessions]
        return Stats(
            sessions,
            await store.list_counts(conn, tenant_id, conversation_id, ids),
            await store.list_transitions(conn, tenant_id, conversation_id, ids),
        )
