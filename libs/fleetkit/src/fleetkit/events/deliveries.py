"""Deliveries of a pull consumer: fetched one at a time, held while worked on, answered."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from fleetkit.logging import get_logger

_FETCH_TIMEOUT_S = 5.0


async def next_delivery(subscription: JetStreamContext.PullSubscription) -> Msg | None:
    """The next message; None when there was none for a while.

    One at a time: a larger fetch waits for all of its messages before it returns the first.
    """
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


async def unsubscribe(subscription: JetStreamContext.PullSubscription) -> None:
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
