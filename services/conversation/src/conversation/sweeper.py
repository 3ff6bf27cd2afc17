"""Turns whose process is gone are closed; what has expired is deleted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import UUID

from fleetkit.context import Attribution, background
from fleetkit.errors import FleetError
from fleetkit.logging import get_logger
from fleetkit.postgres import Database, known_tenants

from conversation import closing, requests, trials
from conversation.deps import Deps
from conversation.observations import MAX_AGE_S
from conversation.store import messages, observations, timeline
from conversation.store import requests as request_store
from conversation.store import trials as trial_store

_BATCH = 100

Answers = Callable[[UUID], bool]


async def sweep_forever(deps: Deps, answers: Answers) -> None:
    """Closes abandoned turns at the start and every `turn_sweep_interval_s`.

    The first sweep comes at once, for what a crash of this process left behind. `answers` tells
    which messages this process is answering.
    """
    while True:
        try:
            await sweep_all(deps, answers)
        except FleetError as error:
            get_logger().warning("sweep_postponed", error=type(error).__name__)
        await asyncio.sleep(deps.settings.turn_sweep_interval_s)


async def sweep_all(deps: Deps, answers: Answers) -> int:
    """Closes the abandoned turns of every known tenant; returns how many.

    A turn of this process is not abandoned: its lease ends only while the database is away.
    """
    closed = 0
    async for tenant_id in _every_tenant(deps.db):
        async with deps.db.tenant(tenant_id) as conn:
            found = await messages.list_abandoned(conn, tenant_id, _BATCH)
        for message_id in found:
            if not answers(message_id):
                closed += await sweep_one(deps, tenant_id, message_id)
    return closed


async def sweep_one(deps: Deps, tenant_id: UUID, message_id: UUID) -> bool:
    """Closes one turn if it is abandoned; its cost is on the ledger."""
    with background(tenant_id, Attribution(purpose="turn", message_id=message_id)):
        closed = await closing.close_abandoned(deps, tenant_id, message_id)
    if closed:
        get_logger().warning("turn_abandoned", message_id=str(message_id))
    return closed


async def prune_all(deps: Deps) -> int:
    """Deletes what has expired of every tenant; returns how many rows."""
    deleted = 0
    async for tenant_id in _every_tenant(deps.db):
        async with deps.db.tenant(tenant_id) as conn:
            deleted += await timeline.delete_events(conn, tenant_id, deps.settings.turn_events_days)
            deleted += await observations.delete_observations(conn, tenant_id, MAX_AGE_S)
            deleted += await request_store.delete_requests(conn, tenant_id, requests.KEEP_DAYS)
            deleted += await trial_store.delete_trials(conn, tenant_id, trials.KEEP_DAYS)
    if deleted:
        get_logger().info("pruned", rows=deleted)
    return deleted


async def _every_tenant(db: Database) -> AsyncIterator[UUID]:
    page = await known_tenants(db)
    while page:
        for tenant_id in page:
            yield tenant_id
        page = await known_tenants(db, page[-1])
