"""Following a turn, and a conversation, at the service that runs them.

A turn outlives its listener, and a listener outlives the service's process: when the service
goes away, the gateway asks again and goes on where it was, so that no word is lost or doubled.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1.conversation_service_pb2 import (
    AnswerTurnRequest,
    WatchConversationRequest,
)
from fleetkit import context
from fleetkit.errors import DeadlineExceeded, Unavailable
from fleetkit.rpc.identity import acting_as

from gateway.auth.principal import Principal
from gateway.parts import Parts

TURN_S = 115.0
_WATCH_S = 100.0
# A call needs some time to be made at all.
_LEAST_S = 0.2
_PATIENCE_S = 20.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


class _Patience:
    """Pauses between attempts while a service is away; gives up in the end."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._pause_s = _FIRST_PAUSE_S

    def reset(self) -> None:
        """The service answered."""
        self._since, self._pause_s = None, _FIRST_PAUSE_S

    async def wait(self, error: Exception) -> None:
        """Waits a little longer than the last time; raises `error` when it is too long."""
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since + self._pause_s > _PATIENCE_S:
            raise error
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)


async def answer(
    parts: Parts, conversation_id: UUID, request_id: UUID, text: str
) -> AsyncGenerator[pb.TurnEvent, None]:
    """The events of a turn, from its beginning to its end.

    Runs as the request's principal and within its deadline. Asks again with the same request_id,
    which joins the turn, when the service goes away. Raises what the service raises.
    """
    request = AnswerTurnRequest(
        request_id=str(request_id), conversation_id=str(conversation_id), text=text
    )
    position = 0
    patience = _Patience()
    with parts.slots.taken(conversation_id):
        while True:
            call = parts.clients.conversations.AnswerTurn(request)
            try:
                async for response in call:
                    patience.reset()
                    # A turn that is joined again is told from its beginning.
                    if response.event.position > position:
                        position = response.event.position
                        yield response.event
            except Unavailable as error:
                await patience.wait(error)
            else:
                return
            finally:
                call.cancel()


async def watch(
    parts: Parts, principal: Principal, request: WatchConversationRequest
) -> AsyncGenerator[pb.TurnEvent, None]:
    """A conversation's events until the principal's credential ends.

    Every call of the stream lives shortly; between two of them the credential is looked at
    again, so that whoever is signed out, or whose key is revoked, hears no more.
    """
    following = WatchConversationRequest()
    following.CopyFrom(request)
    patience = _Patience()
    with parts.slots.taken(UUID(request.conversation_id)):
        while await parts.authenticator.still_valid(principal):
            left_s = min(_WATCH_S, principal.expire_time - time.time())
            if left_s < _LEAST_S:
                return
            call = _open_watch(parts, principal, following, left_s)
            try:
                async for response in call:
                    patience.reset()
                    following.after_event = ""
                    following.after_position = response.event.position
                    yield response.event
            except DeadlineExceeded:
                continue
            except Unavailable as error:
                await patience.wait(error)
            else:
                # The service ends a call shortly before its deadline, or when it shuts down.
                await asyncio.sleep(_FIRST_PAUSE_S)
            finally:
                call.cancel()


def _open_watch(
    parts: Parts, principal: Principal, request: WatchConversationRequest, seconds: float
) -> Any:
    """Starts a call that lives for `seconds`, whatever deadline the request began with."""
    with (
        context.bound(replace(context.current(), deadline=None)),
        acting_as(parts.keyring, principal.identity, seconds),
    ):
        return parts.clients.conversations.WatchConversation(request)
