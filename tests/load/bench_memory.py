"""What GetContext costs: latency over a real channel, alone and with 16 callers at once.

Run: python tests/load/bench_memory.py [--calls 400]
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parents[1]))

from fleetdesk.memory.v1 import memory_service_pb2 as pb
from fleetdesk.memory.v1.memory_service_pb2_grpc import MemoryServiceStub
from fleetdesk_local.nats_server import NatsServer
from fleetdesk_local.roster import SERVICES
from fleetkit import logging
from fleetkit.context import background
from fleetkit.rpc.keys import generate_keys
from harness.databases import Databases
from harness.run import Run
from harness.services import FleetServices

SENTENCE = "I held the power button for ten seconds and the blue light blinks twice. "
TURNS = 40
COLUMNS = ("callers", "p50 ms", "p95 ms", "p99 ms", "calls/s", "cpu ms")


async def main(calls: int, folder: Path, run: Run) -> None:
    logging.configure("bench", "error")
    server = NatsServer(folder)
    server.start()
    generate_keys(folder / "keys", SERVICES)
    services = FleetServices(Databases(run), server, folder / "keys", folder)
    try:
        memory = await services.start("memory")
        stub = memory.stub(MemoryServiceStub, caller="conversation")
        with background(uuid4()):
            conversation_id = await filled(stub)
            print("".join(f"{name:>9}" for name in COLUMNS))
            for callers in (1, 16):
                await measure(stub, conversation_id, callers, calls)
    finally:
        await services.stop_all()
        server.stop()


async def filled(stub: MemoryServiceStub) -> str:
    """A conversation with more messages than a window."""
    conversation_id = str(uuid4())
    for _ in range(TURNS):
        await stub.RecordTurn(pb.RecordTurnRequest(conversation_id=conversation_id, turn=turn()))
    return conversation_id


async def measure(stub: MemoryServiceStub, conversation_id: str, callers: int, calls: int) -> None:
    request = pb.GetContextRequest(conversation_id=conversation_id, pending_turns=[turn(), turn()])
    taken_ms: list[float] = []

    async def call() -> None:
        for _ in range(calls // callers):
            started = time.perf_counter()
            await stub.GetContext(request)
            taken_ms.append((time.perf_counter() - started) * 1e3)

    await stub.GetContext(request)
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(call() for _ in range(callers)))
    rate = len(taken_ms) / (time.perf_counter() - started)
    # Of a call, client and server together: says something on a busy machine, too.
    cpu_ms = (time.process_time() - cpu) * 1e3 / len(taken_ms)
    cuts = statistics.quantiles(taken_ms, n=100)
    figures = (cuts[49], cuts[94], cuts[98], rate, cpu_ms)
    print(f"{callers:9}" + "".join(f"{figure:9.1f}" for figure in figures))


def turn() -> pb.Turn:
    made = pb.Turn(message_id=str(uuid4()), author=pb.AUTHOR_VISITOR, text=SENTENCE * 3)
    made.create_time.FromDatetime(datetime.now(UTC))
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=400)
    shared = Run.begin()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            asyncio.run(main(parser.parse_args().calls, Path(scratch), shared))
    finally:
        shared.end()
