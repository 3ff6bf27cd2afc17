"""One fault at a time; each returns what it saw, and raises unless all was handled once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import nats
from fleetkit.events.streams import CLOCK
from harness.bad_link import bad_link
from harness.waiting import eventually
from nats.js import JetStreamContext

from chaos.disk import Disk
from chaos.rig import CONSUMERS, PRODUCER, Rig

T = TypeVar("T")

STREAM = "FLEETDESK_GATEWAY"
_PATIENCE_S = 60.0
# Longer than the relay waits before it tries again.
_RESTART_AFTER_S = 20.0


@dataclass(frozen=True)
class Row:
    """A line of the table; `seconds` from the end of the fault until all was handled."""

    fault: str
    events: int
    seconds: float
    note: str = ""


async def relay_killed_before_publishing(rig: Rig, events: int) -> Row:
    """Committed while no relay lives."""
    rig.start(PRODUCER)
    rig.start(CONSUMERS[0])
    await rig.recovered()
    rig.kill(PRODUCER)
    await rig.write(events)
    return await _handled(rig, "relay killed between commit and publish", events)


async def relay_killed_before_marking(rig: Rig, events: int) -> Row:
    """Published, but the relay never heard so: the next one publishes again."""
    rig.start(CONSUMERS[0])
    async with bad_link(rig.nats.url) as link:
        rig.start(PRODUCER, FLEETDESK_NATS_URL=link.url)
        await rig.recovered()
        before = await stream_messages(rig)
        link.mute = True
        await rig.write(events)

        async def published() -> bool:
            return await stream_messages(rig) >= before + events

        await eventually(published, timeout_s=_PATIENCE_S)
        rig.kill(PRODUCER)
    rig.environments[PRODUCER]["FLEETDESK_NATS_URL"] = rig.nats.url
    row = await _handled(rig, "relay killed between publish and mark", events)
    # The stream itself dropped what came twice within its duplicate window.
    assert await stream_messages(rig) == before + events
    return row


async def consumer_killed_before_acknowledging(rig: Rig, events: int) -> Row:
    """Handled and committed, but the bus never heard so: the event is delivered again."""
    rig.start(PRODUCER)
    rig.start(CONSUMERS[0])
    await rig.recovered()
    rig.arm(CONSUMERS[0])
    await rig.write(events)
    await rig.died(CONSUMERS[0])
    row = await _handled(rig, "consumer killed between commit and ack", events, CONSUMERS[0])
    await acknowledged(rig)
    await rig.assert_exactly_once()
    return row


async def consumer_killed_in_a_batch(rig: Rig, events: int) -> Row:
    """Many were handled in one transaction, and it was not committed: all are delivered again."""
    rig.start(PRODUCER)
    rig.start(CONSUMERS[0])
    await rig.recovered()
    await acknowledged(rig)
    rig.kill(CONSUMERS[0])
    before, waiting = await rig.noted(), await stream_messages(rig)
    await rig.write(events)

    async def all_wait() -> bool:
        return await stream_messages(rig) == waiting + events

    # So that they come to it together.
    await eventually(all_wait, timeout_s=_PATIENCE_S)
    rig.arm(CONSUMERS[0], after=events - 1)
    rig.start(CONSUMERS[0])
    await rig.died(CONSUMERS[0])
    # What had been noted beside the last one in its transaction is gone with it.
    assert await rig.noted() - before < events - 2
    row = await _handled(rig, "consumer killed in a batch, before its commit", events, CONSUMERS[0])
    await acknowledged(rig)
    await rig.assert_exactly_once()
    return row


async def slow_link(rig: Rig, events: int, delay_s: float = 0.2) -> Row:
    """Each piece of what NATS says comes late, to relay and consumer."""
    async with bad_link(rig.nats.url) as link:
        link.delay_s = delay_s
        for name in (PRODUCER, CONSUMERS[0]):
            rig.start(name, FLEETDESK_NATS_URL=link.url)
        await rig.recovered()
        began = time.monotonic()
        await rig.handled(await rig.write(events))
        seconds = time.monotonic() - began
        await rig.assert_exactly_once()
        rig.kill(CONSUMERS[0])
        rig.kill(PRODUCER)
    return Row(f"link to NATS {delay_s * 1000:.0f} ms slower", events, seconds)


async def cut_link(rig: Rig, events: int, cuts: int) -> Row:
    """The connections of relay and consumer are cut again and again while events come."""
    async with bad_link(rig.nats.url) as link:
        for name in (PRODUCER, CONSUMERS[0]):
            rig.start(name, FLEETDESK_NATS_URL=link.url)
        await rig.recovered()
        ids = []
        for _ in range(cuts):
            ids += await rig.write(events // cuts)
            await rig.handled(ids[-1:])
            link.cut()
        began = time.monotonic()
        await rig.handled(ids)
        seconds = time.monotonic() - began
        await rig.assert_exactly_once()
        rig.kill(CONSUMERS[0])
        rig.kill(PRODUCER)
    return Row(f"link to NATS cut {cuts} times", len(ids), seconds)


async def full_disk(rig: Rig, disk: Disk, events: int) -> Row:
    """NATS can't write: events stay in the outbox until it can."""
    rig.start(PRODUCER)
    rig.start(CONSUMERS[0])
    await rig.recovered()
    disk.fill()
    written = await rig.write(events)

    async def stuck() -> bool:
        return rig.said(PRODUCER, b"relay_interrupted")

    await eventually(stuck, timeout_s=_PATIENCE_S)
    disk.enlarge()
    began = time.monotonic()
    note = "goes on by itself"
    try:
        async with asyncio.timeout(_RESTART_AFTER_S):
            await rig.handled(written)
    except TimeoutError:
        note = "nats-server wants a restart after a full disk"
        rig.kill("nats")
        await rig.restart("nats")
        await rig.handled(written)
    seconds = time.monotonic() - began
    await rig.assert_exactly_once()
    return Row("disk of NATS full", events, seconds, note)


async def job_killed(rig: Rig) -> Row:
    """The replica that runs a periodic job dies in the middle; another runs it again."""
    for name in CONSUMERS:
        rig.start(name, FLEETDESK_HOLD_FILE=str(rig.folder / "hold"))
    hold = rig.folder / "hold"
    hold.touch()
    await _tick(rig)

    async def began() -> list[str]:
        return [name for name in CONSUMERS if rig.said(name, b"job_began")]

    [first] = await eventually(began, timeout_s=_PATIENCE_S)
    [second] = set(CONSUMERS) - {first}
    rig.kill(first)
    hold.unlink()
    killed = time.monotonic()

    async def ran() -> bool:
        return rig.said(second, b"scheduled_run")

    await eventually(ran, timeout_s=_PATIENCE_S)
    return Row("replica killed in a periodic job", 1, time.monotonic() - killed, "another ran it")


async def _tick(rig: Rig) -> None:
    """Ticks as the schedule would, once the replicas listen."""

    async def published() -> bool:
        async def ask(js: JetStreamContext) -> bool:
            infos = [info for info in await js.streams_info() if info.config.name == CLOCK]
            if not infos or not await js.consumers_info(CLOCK):
                return False
            await js.publish("clock.tick.billing.hold")
            return True

        return await _ask(rig, ask)

    await eventually(published, timeout_s=_PATIENCE_S)


async def _handled(rig: Rig, fault: str, events: int, restarted: str = PRODUCER) -> Row:
    """Starts what was killed again and waits until all is handled."""
    began = time.monotonic()
    await rig.restart(restarted)
    await rig.handled(list(rig.written.committed))
    seconds = time.monotonic() - began
    await rig.assert_exactly_once()
    return Row(fault, events, seconds)


async def acknowledged(rig: Rig) -> None:
    """Waits until no delivery is without an answer: what is delivered again was."""

    async def none_is_open() -> bool:
        async def ask(js: JetStreamContext) -> bool:
            info = await js.consumer_info(STREAM, "billing")
            return info.num_ack_pending == 0 and info.num_pending == 0

        return await _ask(rig, ask)

    await eventually(none_is_open, timeout_s=_PATIENCE_S)


async def stream_messages(rig: Rig) -> int:
    """How many events the stream holds."""

    async def ask(js: JetStreamContext) -> int:
        return (await js.stream_info(STREAM)).state.messages

    return await _ask(rig, ask)


async def _ask(rig: Rig, ask: Callable[[JetStreamContext], Awaitable[T]]) -> T:
    client = await nats.connect(rig.nats.url, nkeys_seed=str(rig.nats.seed_file("admin")))
    try:
        return await ask(client.jetstream())
    finally:
        await client.close()
