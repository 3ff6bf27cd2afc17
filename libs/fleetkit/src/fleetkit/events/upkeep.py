"""The upkeep of outbox and inbox: partitions ahead, old ones dropped, old receipts forgotten.

It needs no bus: an outage of NATS must not keep a table from being tidied.
"""

import asyncio

from prometheus_client import Gauge

from fleetkit.errors import FleetError
from fleetkit.events import handling, outbox, streams
from fleetkit.logging import get_logger
from fleetkit.postgres.database import Database
from fleetkit.telemetry import gauge

_EVERY_S = 3600.0
_COUNT_EVERY_S = 15.0
_DAYS_AHEAD = 3
# The outbox drops whole days, so an event stays in it for up to a day longer.
_PARTITION_DAYS = 1
# A replay may wait for a bus that is away before it reaches the stream.
_LATE_REPLAY_DAYS = 7

# An event of the outbox's last day may be replayed, wait for the bus, and then stay in the stream
# for as long as streams keep it. Until then a consumer must remember that it had it.
INBOX_DAYS = outbox.KEEP_DAYS + _PARTITION_DAYS + _LATE_REPLAY_DAYS + streams.MAX_AGE_DAYS


async def keep_up_forever(db: Database, service: str) -> None:
    """Tidies at the start and every hour, counts what waits every 15 s; replicas do no harm."""
    loop = asyncio.get_running_loop()
    next_tidying = loop.time()
    while True:
        try:
            if loop.time() >= next_tidying:
                await keep_up(db)
                next_tidying = loop.time() + _EVERY_S
            _backlog().labels(service).set(await outbox.count_unpublished(db))
        except FleetError as error:
            get_logger().warning("upkeep_postponed", exc_info=error)
        await asyncio.sleep(_COUNT_EVERY_S)


async def keep_up(db: Database) -> None:
    """Makes the outbox's next partitions, drops old ones, forgets old receipts."""
    # A transaction each: the first locks a partition, the second the whole table, which somebody
    # may be reading who comes to that partition next.
    async with db.fleet() as conn:
        await conn.execute("select fleetkit_outbox_extend(%s)", [_DAYS_AHEAD])
    async with db.fleet() as conn:
        await conn.execute("select fleetkit_outbox_expire(%s)", [outbox.KEEP_DAYS])
    await handling.forget_old_receipts(db, INBOX_DAYS)


def _backlog() -> Gauge:
    return gauge("fleetdesk_outbox_waiting", "Events not yet published.", ("service",))
