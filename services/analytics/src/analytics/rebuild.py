"""Deriving the conversations anew, and comparing them with what is kept."""

import sys
from collections.abc import AsyncIterator
from uuid import UUID

from fleetkit.errors import FailedPrecondition
from fleetkit.postgres import Database, known_tenants

from analytics.hours import rebuild_hours, wrong_hours
from analytics.store import conversations as store

_PAGE = 500


async def rebuild(db: Database) -> None:
    """Derives every conversation of every tenant from its facts again; prints how many.

    Safe beside a running service, which waits for the 500 conversations at hand.
    """
    count = 0
    async for tenant_id, page in _pages(db):
        async with db.tenant(tenant_id) as conn:
            await store.lock_conversations(conn, tenant_id, page)
            await store.derive_conversations(conn, tenant_id, page)
        count += len(page)
    async for tenant_id in _tenants(db):
        await rebuild_hours(db, tenant_id)
    sys.stdout.write(f"{count} conversations derived from their facts, and sums by the hour\n")


async def check_rebuild(db: Database) -> None:
    """Prints each conversation that is not what its facts say.

    FailedPrecondition (the command then ends with 1) when there is any.
    """
    compared = wrong = 0
    async for tenant_id, page in _pages(db):
        async with db.tenant(tenant_id) as conn:
            found = await store.differences(conn, tenant_id, page)
        for row in found:
            sys.stdout.write(
                f"tenant {tenant_id} conversation {row.conversation_id}\n"
                f"  kept:    {row.stored}\n  derived: {row.derived}\n"
            )
        compared += len(page)
        wrong += len(found)
    sys.stdout.write(f"{compared} conversations compared, {wrong} differ\n")
    wrong_sums = 0
    async for tenant_id in _tenants(db):
        for row in await wrong_hours(db, tenant_id):
            sys.stdout.write(
                f"tenant {tenant_id} {row.sums} {row.hour:%Y-%m-%dT%H}\n"
                f"  kept:    {row.stored}\n  derived: {row.derived}\n"
            )
            wrong_sums += 1
    sys.stdout.write(f"{wrong_sums} sums by the hour differ\n")
    if wrong or wrong_sums:
        raise FailedPrecondition(
            f"{wrong} conversations and {wrong_sums} sums differ: `run rebuild` derives them anew"
        )


async def _pages(db: Database) -> AsyncIterator[tuple[UUID, list[UUID]]]:
    """The conversations of every tenant, up to 500 at a time."""
    async for tenant_id in _tenants(db):
        after = UUID(int=0)
        while True:
            async with db.tenant(tenant_id) as conn:
                page = await store.conversation_ids(conn, tenant_id, after, _PAGE)
            if not page:
                break
            yield tenant_id, page
            after = page[-1]


async def _tenants(db: Database) -> AsyncIterator[UUID]:
    after: UUID | None = None
    while tenants := await known_tenants(db, after):
        for tenant_id in tenants:
            yield tenant_id
        after = tenants[-1]
