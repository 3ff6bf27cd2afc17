"""Notifications between replicas, through PostgreSQL, on a connection of their own."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from uuid import UUID

import psycopg
from fleetkit.logging import get_logger

from conversation.config import Settings
from conversation.hub import Hub
from conversation.store import timeline as store

_RECONNECT_S = 0.5


async def listen_forever(settings: Settings, hub: Hub, cancel: Callable[[UUID], None]) -> None:
    """Passes on what other replicas notify: changed conversations, and turns to be stopped.

    Reconnects for as long as it runs; after each connect every listener looks at the table, as
    notifications are not kept for those who were away.
    """
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                settings.postgres_url.get_secret_value(),
                autocommit=True,
                connect_timeout=5,
                application_name=f"{settings.service}-listener",
            ) as conn:
                await store.listen(conn)
                hub.tell_all_to_look()
                async with aclosing(store.notes(conn)) as notes:
                    async for note in notes:
                        _pass_on(note, hub, cancel)
        except psycopg.Error as error:
            get_logger().warning("notices_interrupted", error=type(error).__name__)
        await asyncio.sleep(_RECONNECT_S)


def _pass_on(note: store.Note, hub: Hub, cancel: Callable[[UUID], None]) -> None:
    if note.channel == store.CANCEL_CHANNEL:
        cancel(UUID(note.payload))
        return
    conversation_id, _, position = note.payload.partition(":")
    hub.tell(UUID(conversation_id), int(position))
