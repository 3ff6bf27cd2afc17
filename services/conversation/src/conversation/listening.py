"""What a listener of a conversation sees: every event once, in order, whenever it came.

Positions of a conversation have no gaps and become visible in order, so "the next one" is well
defined: an event handed over is passed on only if it is the next one, otherwise the listener reads
the table from where it is.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from uuid import UUID

from fleetdesk.conversation.v1.conversation_pb2 import TurnEvent
from fleetkit import context
from fleetkit.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from fleetkit.postgres import FleetConnection

from conversation.deps import Deps
from conversation.hub import Subscription
from conversation.store import conversations, messages
from conversation.store import timeline as store
from conversation.store.timeline import EventRow

_PAGE = 200
_LAST = frozenset({"finished", "failed", "posted"})
_END_BEFORE_DEADLINE_S = 1.0


async def turn_events(
    deps: Deps,
    tenant_id: UUID,
    conversation_id: UUID,
    message_id: UUID,
    after: int,
    subscription: Subscription | None = None,
) -> AsyncGenerator[TurnEvent, None]:
    """The events of one message after a position, up to its last one; `subscription` as `follow`.

    For a turn whose events are no longer kept: its message, whole, as the only event.
    """
    events = follow(deps, tenant_id, conversation_id, after, subscription=subscription)
    async with aclosing(events):
        async for event in events:
            if event.message_id != str(message_id):
                continue
            yield event
            if event.WhichOneof("event") in _LAST:
                return


async def watch(
    deps: Deps, tenant_id: UUID, conversation_id: UUID, after: int
) -> AsyncGenerator[TurnEvent, None]:
    """All events of a conversation after a position, until shortly before the call's deadline."""
    remaining_s = context.remaining_s()
    ends_at = None
    if remaining_s is not None:
        ends_at = time.monotonic() + max(remaining_s - _END_BEFORE_DEADLINE_S, 0)
    events = follow(deps, tenant_id, conversation_id, after, ends_at)
    async with aclosing(events):
        async for event in events:
            yield event


async def follow(
    deps: Deps,
    tenant_id: UUID,
    conversation_id: UUID,
    after: int,
    ends_at: float | None = None,
    subscription: Subscription | None = None,
) -> AsyncGenerator[TurnEvent, None]:
    """The events after a position, then those to come, until `ends_at` (monotonic).

    Looks at the table now and then even when nobody says that there is something new, and at once
    unless given a `subscription` that is as old as the position. Unavailable when the process
    stops.
    """
    position, look = after, subscription is None
    subscribed = nullcontext(subscription) if subscription else deps.hub.subscribe(conversation_id)
    with subscribed as subscription:
        while True:
            for event in subscription.take():
                if event.position == position + 1:
                    position = event.position
                    yield event
            if look or subscription.missed or subscription.known_position > position:
                known, subscription.missed = subscription.known_position, False
                rows = await _read(deps, tenant_id, conversation_id, position)
                for row in rows:
                    position = row.position
                    yield to_event(row)
                look = len(rows) == _PAGE
                if not look:
                    # What is known and not there any more has expired.
                    position = max(position, known)
                continue
            if subscription.closed:
                raise Unavailable("the service is restarting: listen again", retry_after_s=1.0)
            wait_s = _wait_s(deps.settings.watch_poll_s, ends_at)
            if wait_s <= 0:
                return
            look = not await subscription.wait(wait_s)


async def begin_of(
    deps: Deps, tenant_id: UUID, conversation_id: UUID, after_position: int, after_event: str
) -> int:
    """The position to listen from, by itself or as the last SSE id "<message_id>:<sequence>".

    NotFound for an unknown conversation. InvalidArgument for an event that it does not have, or a
    position that it has not reached. FailedPrecondition (EVENTS_EXPIRED) when the events of that
    message are no longer kept.
    """
    async with deps.db.tenant(tenant_id) as conn:
        conversation = await conversations.get_conversation(conn, tenant_id, conversation_id)
        if conversation is None:
            raise NotFound("there is no such conversation", field="conversation_id")
        if after_event:
            return await _position_of_event(conn, tenant_id, conversation_id, after_event)
    if not 0 <= after_position <= conversation.last_position:
        raise InvalidArgument(
            f"after_position is {after_position}: give 0–{conversation.last_position}",
            field="after_position",
        )
    return after_position


async def _position_of_event(
    conn: FleetConnection, tenant_id: UUID, conversation_id: UUID, after_event: str
) -> int:
    message_id, sequence = _parse_event_id(after_event)
    position = await store.position_of(conn, tenant_id, conversation_id, message_id, sequence)
    if position is not None:
        return position
    message = await messages.get_message(conn, tenant_id, message_id)
    if message is None or message.conversation_id != conversation_id:
        raise InvalidArgument(
            "after_event is not an event of this conversation: give the last id that you saw",
            field="after_event",
        )
    if await store.last_sequence(conn, tenant_id, message_id) > 0:
        raise InvalidArgument("after_event has not happened yet", field="after_event")
    raise FailedPrecondition(
        "events this old are no longer kept: read the conversation and listen from its position",
        reason="EVENTS_EXPIRED",
    )


def to_event(row: EventRow) -> TurnEvent:
    """A stored event with its position."""
    event = TurnEvent.FromString(row.event)
    event.position = row.position
    return event


async def _read(
    deps: Deps, tenant_id: UUID, conversation_id: UUID, position: int
) -> list[EventRow]:
    return await store.events_after(deps.db, tenant_id, conversation_id, position, _PAGE)


def _wait_s(poll_s: float, ends_at: float | None) -> float:
    return poll_s if ends_at is None else min(poll_s, ends_at - time.monotonic())


def _parse_event_id(after_event: str) -> tuple[UUID, int]:
    message_id, _, sequence = after_event.partition(":")
    try:
        return UUID(message_id), int(sequence)
    except ValueError as error:
        raise InvalidArgument(
            'after_event is malformed: give "<message_id>:<sequence>", the last SSE id seen',
            field="after_event",
        ) from error
