"""Server-sent events: how a conversation's events look to a listener.

Each has `id: <message_id>:<n>`; a listener that comes back sends the last as Last-Event-ID.
"""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetkit.errors import FleetError
from fleetkit.logging import get_logger
from msgspec import Struct

from gateway.problems import Problem, problem_of
from gateway.shapes.conversations import (
    Citation,
    Message,
    Receipt,
    message_of,
    outcome_of,
    reason_of,
    status_of,
)

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_S = 15.0
_HEARTBEAT = b": still here\n\n"


class MessageStarted(Struct, frozen=True):
    """message.started: an answer begins."""

    message_id: str


class MessageDelta(Struct, frozen=True):
    """message.delta: text to append."""

    text: str


class MessageCitations(Struct, frozen=True):
    """message.citations: all citations of the answer."""

    citations: list[Citation]


class MessageCompleted(Struct, frozen=True):
    """message.completed: the answer is whole, or was stopped (`status` is then `canceled`)."""

    message_id: str
    outcome: str | None
    confidence: float | None
    tier: int | None
    receipt: Receipt
    status: str | None
    handoff_reason: str | None


class Handoff(Struct, frozen=True):
    """handoff: a person was asked for."""

    reason: str | None


class MessagePosted(Struct, frozen=True):
    """message.posted: a whole message by the visitor or a person."""

    message: Message


class Status(Struct, frozen=True):
    """status: who is answering now."""

    status: str | None


def encode(name: str, data: object, event_id: str = "") -> bytes:
    """One event; JSON has no line breaks, so the data is one line."""
    head = f"event: {name}\n" + (f"id: {event_id}\n" if event_id else "")
    return head.encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"


def turn_problem(failed: pb.TurnFailed) -> Problem:
    """The problem of an answer that could not be finished."""
    detail = failed.detail or "the answer could not be finished: ask again"
    return Problem(502, failed.reason or "TURN_FAILED", detail)


def encode_turn_event(event: pb.TurnEvent, *, for_visitor: bool) -> bytes | None:
    """A conversation's event; None for one of a kind that this version does not know."""
    name, data = "", object()
    match event.WhichOneof("event"):
        case "started":
            name, data = "message.started", MessageStarted(event.message_id)
        case "delta":
            name, data = "message.delta", MessageDelta(event.delta.text)
        case "citations":
            found = [Citation.of(citation) for citation in event.citations.citations]
            name, data = "message.citations", MessageCitations(found)
        case "handoff":
            name, data = "handoff", Handoff(reason_of(event.handoff.reason))
        case "finished":
            name, data = "message.completed", _completed(event.finished.message)
        case "failed":
            name, data = "error", turn_problem(event.failed).document()
        case "posted":
            posted = message_of(event.posted.message, for_visitor=for_visitor)
            name, data = "message.posted", MessagePosted(posted)
        case "status":
            name, data = "status", Status(status_of(event.status.status))
        case _:
            return None
    return encode(name, data, f"{event.message_id}:{event.sequence}")


class Feed:
    """Events that are waited for in a task of their own, so that a pause can be told.

    Once `ending` is set it ends at the next pause between two events.
    """

    def __init__(
        self, events: AsyncGenerator[pb.TurnEvent, None], ending: asyncio.Event | None = None
    ) -> None:
        self._events = events
        self._ending = ending or asyncio.Event()
        self._waiting: asyncio.Task[pb.TurnEvent] | None = None

    async def begin(self, patience_s: float | None = None) -> None:
        """Waits for the first event, at most `patience_s`; raises what keeps it from coming."""
        self._waiting = asyncio.create_task(_next(self._events))
        try:
            done, _ = await asyncio.wait((self._waiting,), timeout=patience_s)
        except asyncio.CancelledError:
            self.close()
            raise
        if done and (error := self._waiting.exception()) is not None:
            self._waiting = None
            if not isinstance(error, StopAsyncIteration):
                raise error

    async def pulses(self) -> AsyncGenerator[pb.TurnEvent | None, None]:
        """The events, and None after each `HEARTBEAT_S` without one."""
        ending = asyncio.create_task(self._ending.wait())
        try:
            while True:
                waiting = self._waiting = self._waiting or asyncio.create_task(_next(self._events))
                done, _ = await asyncio.wait(
                    (waiting, ending), timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
                )
                if waiting not in done:
                    if ending in done:
                        return
                    yield None
                    continue
                self._waiting = None
                try:
                    event = waiting.result()
                except StopAsyncIteration:
                    return
                yield event
        finally:
            ending.cancel()

    def close(self) -> None:
        """Stops waiting; at once, for a listener that has gone is cancelled at every await."""
        if self._waiting is not None:
            self._waiting.add_done_callback(_retrieve)
            self._waiting.cancel()


async def encoded(feed: Feed, *, for_visitor: bool) -> AsyncGenerator[bytes, None]:
    """The bytes of a feed, with comments as heartbeats; an error is its last event."""
    try:
        async for event in feed.pulses():
            if event is None:
                yield _HEARTBEAT
            elif (frame := encode_turn_event(event, for_visitor=for_visitor)) is not None:
                yield frame
    except FleetError as error:
        if type(error) is FleetError:
            get_logger().error("stream_failed_unexpectedly", exc_info=error)
        yield encode("error", problem_of(error).document())
    finally:
        feed.close()


async def _next(events: AsyncGenerator[pb.TurnEvent, None]) -> pb.TurnEvent:
    return await anext(events)


def _retrieve(task: asyncio.Task[pb.TurnEvent]) -> None:
    """Nobody waits any more for what the task ends with."""
    if not task.cancelled():
        task.exception()


def _completed(message: pb.Message) -> MessageCompleted:
    return MessageCompleted(
        message_id=message.message_id,
        outcome=outcome_of(message.outcome),
        confidence=message.confidence,
        tier=message.tier or None,
        receipt=Receipt.of(message.receipt),
        status=pb.MessageStatus.Name(message.status).removeprefix("MESSAGE_STATUS_").lower(),
        handoff_reason=reason_of(message.handoff_reason),
    )
