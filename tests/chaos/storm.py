"""Many events while something dies every few seconds: each is handled once."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import nats
import nats.errors
import psycopg
from fleetdesk.gateway.v1.events_pb2 import TenantCreated
from fleetkit.errors import FleetError
from fleetkit.events import event_subject
from fleetkit.events.envelope import cloud_event_headers, to_body
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError

from chaos.rig import CONSUMERS, PROCESSES, SERVERS, Rig

_BATCH = 20
_MOST_BEHIND = 400
_POLL_S = 0.05
_DIE_PATIENCE_S = 2.0
_TYPE = TenantCreated.DESCRIPTOR.full_name


@dataclass
class Outcome:
    """What a storm did; seconds from `kill -9` until a new event went all the way."""

    events: int = 0
    duplicates: int = 0
    uncertain: int = 0
    seconds: float = 0.0
    recoveries_s: dict[str, list[float]] = field(default_factory=dict)


async def storm(rig: Rig, events: int, *, every_s: float, seed: int, rounds: int = 0) -> Outcome:
    """Writes `events` events, 5 % of them published twice and 5 % refused at first, and kills.

    Kills go on until all are written, and for `rounds` kills at least; at most one in `every_s`.
    AssertionError unless each committed event was handled exactly once.
    """
    began = time.monotonic()
    outcome = Outcome()
    rig.start("producer")
    for name in CONSUMERS:
        rig.start(name, FLEETDESK_DISORDER_PERCENT="5")
    async with _saboteur(rig) as twice:
        writing = asyncio.create_task(_write(rig, events, twice, outcome, random.Random(seed)))
        try:
            await rig.recovered()
            await _kill(rig, writing, outcome, every_s, seed, rounds)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        writing.result()
    await rig.handled(list(rig.written.committed))
    await rig.assert_exactly_once()
    outcome.events = len(rig.written.committed)
    outcome.uncertain = len(rig.written.uncertain)
    outcome.seconds = time.monotonic() - began
    return outcome


async def _kill(
    rig: Rig, writing: asyncio.Task[None], outcome: Outcome, every_s: float, seed: int, rounds: int
) -> None:
    chance = random.Random(seed)
    victims = itertools.chain.from_iterable(
        chance.sample([*PROCESSES, *SERVERS], 5) for _ in itertools.count()
    )
    for number, victim in enumerate(victims):
        if writing.done() and number >= rounds:
            return
        pause = asyncio.create_task(asyncio.sleep(every_s))
        if victim == CONSUMERS[0]:
            # This one dies where it hurts most; the other anywhere.
            rig.arm(victim)
            await rig.write_one_now()
            await _died_or_kill(rig, victim)
        else:
            rig.kill(victim)
        killed = time.monotonic()
        await rig.restart(victim)
        await rig.recovered()
        outcome.recoveries_s.setdefault(victim, []).append(time.monotonic() - killed)
        await pause


async def _died_or_kill(rig: Rig, victim: str) -> None:
    """The event may have gone to the other consumer, and no more come."""
    try:
        async with asyncio.timeout(_DIE_PATIENCE_S):
            await rig.died(victim)
    except TimeoutError:
        rig.kill(victim)


async def _write(
    rig: Rig, events: int, twice: "Twice", outcome: Outcome, chance: random.Random
) -> None:
    """Writes while the consumers keep up; a transaction that fails is not written again."""
    noted = 0
    while len(rig.written.committed) < events:
        if len(rig.written.committed) - noted > _MOST_BEHIND:
            noted = max(noted, await rig.noted())
            await asyncio.sleep(_POLL_S)
            continue
        try:
            ids = await rig.write(_BATCH)
        except (FleetError, psycopg.Error):
            await asyncio.sleep(_POLL_S)
            continue
        for event_id in ids:
            if chance.random() < 0.05:
                await twice.publish(rig.written.committed[event_id])
                outcome.duplicates += 1


class Twice:
    """Publishes events a second time as if long after the first, so that the stream keeps both."""

    def __init__(self, js: JetStreamContext, rig: Rig) -> None:
        self._js = js
        self._rig = rig

    async def publish(self, event: TenantCreated) -> None:
        headers = cloud_event_headers(
            event_id=UUID(event.event_id),
            event_type=_TYPE,
            tenant_id=self._rig.tenant_id,
            occur_time=event.occur_time.ToDatetime(),
        )
        del headers["Nats-Msg-Id"]
        subject = event_subject(_TYPE, str(self._rig.tenant_id))
        while True:
            try:
                await self._js.publish(subject, to_body(event).encode(), headers=headers, timeout=2)
            except (nats.errors.Error, JetStreamError):
                await asyncio.sleep(_POLL_S)
            else:
                return


@asynccontextmanager
async def _saboteur(rig: Rig) -> AsyncIterator[Twice]:
    client = await nats.connect(
        rig.nats.url,
        nkeys_seed=str(rig.nats.seed_file("gateway")),
        inbox_prefix="_INBOX.gateway",
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
        error_cb=_ignore,
    )
    try:
        yield Twice(client.jetstream(), rig)
    finally:
        await client.close()


async def _ignore(_: Exception) -> None:
    """The link is meant to break."""
