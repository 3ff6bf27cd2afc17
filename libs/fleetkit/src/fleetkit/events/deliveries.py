"""Deliveries of a durable: asked for, held while they are worked on, answered."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import StatusCode
from nats.js.errors import APIError

from fleetkit.logging import get_logger
from fleetkit.tasks import end, woken_within

_FETCH_TIMEOUT_S = 5.0
# A request whose end the server has not told by then was lost with the connection.
_LATE_S = 1.0
_MOST_IN_HAND = 64
_GIVEN_BACK_S = 0.1
# How a request ends that did not bring as many as it asked for.
_ENDS = (StatusCode.NO_MESSAGES, StatusCode.REQUEST_TIMEOUT, StatusCode.CONFLICT)


class Intake:
    """The messages of a durable that this process has in hand; use `intake`.

    They are asked for many at a time and given out as they come, 64 in hand at most.
    """

    def __init__(self, client: Client, stream: str, durable: str) -> None:
        self.inbox = client.new_inbox()
        self._client = client
        self._ask_at = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._come: list[Msg] = []
        self._in_hand: dict[str, Msg] = {}
        self._asked = 0
        self._asked_until = 0.0
        self._failure: APIError | None = None
        self._news = asyncio.Event()

    @property
    def in_hand(self) -> list[Msg]:
        """What has come and is not answered."""
        return list(self._in_hand.values())

    async def next(self) -> list[Msg]:
        """What came since the last time; waits a while for the first, [] when there was none."""
        if not self._come:
            await self._ask()
            await woken_within(self._news, _FETCH_TIMEOUT_S)
            self._news.clear()
        if self._failure is not None:
            raise self._failure
        come, self._come = self._come, []
        return come

    async def ack(self, message: Msg) -> None:
        """Says that a message was handled."""
        await self._answer(message, message.ack())

    async def nak(self, message: Msg, delay_s: float) -> None:
        """Asks for a message to be delivered again, so much later."""
        await self._answer(message, message.nak(delay=delay_s))

    async def term(self, message: Msg) -> None:
        """Says that a message is never to come again."""
        await self._answer(message, message.term())

    async def arrived(self, message: Msg) -> None:
        """Takes what the server sends: a message, or how a request ended."""
        status = JetStreamContext.is_status_msg(message)
        if not status:
            self._asked -= 1
            self._come.append(message)
            self._in_hand[message.reply] = message
        elif status in _ENDS:
            self._asked = 0
        else:
            self._failure = APIError.from_msg(message)
        self._news.set()

    async def _ask(self) -> None:
        """Asks for as many as there is room for, unless that was asked for already."""
        now = asyncio.get_running_loop().time()
        room = _MOST_IN_HAND - len(self._in_hand)
        if room < 1 or (self._asked > 0 and now < self._asked_until):
            return
        self._asked, self._asked_until = room, now + _FETCH_TIMEOUT_S + _LATE_S
        request = {"batch": room, "expires": int(_FETCH_TIMEOUT_S * 1e9)}
        await self._client.publish(self._ask_at, json.dumps(request).encode(), self.inbox)

    async def _answer(self, message: Msg, reply: Awaitable[None]) -> None:
        if len(self._in_hand) >= _MOST_IN_HAND:
            self._news.set()
        self._in_hand.pop(message.reply, None)
        await answer(reply)


@asynccontextmanager
async def intake(
    client: Client, stream: str, durable: str, ack_wait_s: float
) -> AsyncIterator[Intake]:
    """The messages of a durable inside the block; those in hand at its end are given back.

    The server hears thrice in `ack_wait_s` that those in hand are worked on. Errors of the server
    are raised by `next`.
    """
    made = Intake(client, stream, durable)
    subscription = await client.subscribe(made.inbox, cb=made.arrived)
    heartbeat = asyncio.create_task(_keep_all_in_progress(made, ack_wait_s / 3))
    try:
        yield made
    finally:
        await end([heartbeat])
        await unsubscribe(subscription)
        for message in made.in_hand:
            await made.nak(message, _GIVEN_BACK_S)


async def next_delivery(subscription: JetStreamContext.PullSubscription) -> Msg | None:
    """The next message of work that is done one at a time; None when there was none for a while."""
    try:
        return (await subscription.fetch(1, timeout=_FETCH_TIMEOUT_S))[0]
    except nats.errors.TimeoutError:
        return None


@asynccontextmanager
async def in_progress(message: Msg, ack_wait_s: float) -> AsyncIterator[None]:
    """Tells the server inside the block, thrice in `ack_wait_s`, that the message is worked on."""
    heartbeat = asyncio.create_task(_keep_in_progress(message, ack_wait_s / 3))
    try:
        yield
    finally:
        heartbeat.cancel()


async def answer(reply: Awaitable[None]) -> None:
    """Sends an answer; one that is lost means another delivery, which must do no harm."""
    try:
        await reply
    except nats.errors.Error as error:
        get_logger().info("event_answer_lost", error=type(error).__name__)


async def unsubscribe(subscription: Subscription | JetStreamContext.PullSubscription) -> None:
    """Ends a subscription, also on a connection that is gone."""
    try:
        await subscription.unsubscribe()
    except nats.errors.Error:
        # The connection is closed or being restored: the server forgets it by itself.
        return


async def _keep_in_progress(message: Msg, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await answer(message.in_progress())


async def _keep_all_in_progress(taken: Intake, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        for message in taken.in_hand:
            await answer(message.in_progress())
