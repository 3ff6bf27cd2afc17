"""Closes the calls of processes that died: they become unconfirmed at their reservation."""

import asyncio

from fleetkit.errors import DeadlineExceeded, Unavailable
from fleetkit.logging import get_logger
from fleetkit.postgres import Database
from fleetkit.postgres.tenants import known_tenants

from llm_gateway.ledger import Ledger


async def sweep_forever(db: Database, ledger: Ledger, interval_s: float) -> None:
    """Sweeps now and then every `interval_s` real seconds; passes over a database that is away."""
    while True:
        try:
            await sweep_all(db, ledger)
        except (Unavailable, DeadlineExceeded) as error:
            get_logger().warning("sweep_postponed", exc_info=error)
        await asyncio.sleep(interval_s)


async def sweep_all(db: Database, ledger: Ledger) -> int:
    """Sweeps every known tenant once; returns how many calls became unconfirmed."""
    swept = 0
    tenants = await known_tenants(db)
    while tenants:
        for tenant_id in tenants:
            count = await ledger.sweep(tenant_id)
            if count:
                get_logger().warning("calls_unconfirmed", tenant_id=str(tenant_id), calls=count)
            swept += count
        tenants = await known_tenants(db, tenants[-1])
    return swept
