"""What the embedding workers do: latency of queries alone and under ingest, passages per second.

Run: python tests/load/bench_embed.py [--workers 2] [--seconds 10] [--precision int8]
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from llm_gateway.minilm.artifact import weights_folder
from llm_gateway.workers.child import ChildOptions
from llm_gateway.workers.lanes import Job, Lane
from llm_gateway.workers.pool import WorkerPool

QUERIES = (
    "How do I reset my password?",
    "the device is not recognised by my computer",
    "Can I change the delivery address after ordering?",
    "error 0x80070057 when the upload starts",
)
SENTENCE = "Hold the power button for ten seconds until the blue light blinks twice, then let go. "


async def main() -> None:
    options = arguments()
    cache = Path(tempfile.gettempdir()) / "fleetdesk-bench-models"
    child = ChildOptions(weights_folder(None), cache, options.precision)
    started = time.perf_counter()
    pool = WorkerPool(child, options.workers, max_texts=100_000)
    pool.start()
    await pool.wait_ready()
    print(
        f"{options.workers} workers, {options.precision}, ready in "
        f"{time.perf_counter() - started:.2f} s"
    )
    print_latency("query, idle", await query_latencies(pool, 200))
    for words in (4, 8, 12):
        await print_throughput(pool, SENTENCE * words, options.seconds / 3)
    ingest = asyncio.create_task(keep_busy(pool))
    await asyncio.sleep(0.5)
    print_latency("query, under ingest", await query_latencies(pool, 100))
    ingest.cancel()
    for pid in pool.pids:
        print(f"worker {pid}: {memory(pid)}")
    await pool.close()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--precision", choices=("int8", "float32"), default="int8")
    return parser.parse_args()


def job(texts: list[str], lane: Lane) -> Job:
    return Job(texts, lane, time.monotonic() + 600, asyncio.get_running_loop().create_future())


async def query_latencies(pool: WorkerPool, count: int) -> list[float]:
    """Milliseconds of `count` queries, one after another."""
    latencies: list[float] = []
    for index in range(count):
        started = time.perf_counter()
        await pool.embed(job([QUERIES[index % len(QUERIES)]], Lane.INTERACTIVE))
        latencies.append((time.perf_counter() - started) * 1000)
    return latencies


def print_latency(name: str, latencies: list[float]) -> None:
    cuts = statistics.quantiles(latencies, n=100)
    print(f"{name:22} p50 {cuts[49]:6.1f} ms   p95 {cuts[94]:6.1f} ms   p99 {cuts[98]:6.1f} ms")


async def print_throughput(pool: WorkerPool, passage: str, seconds: float) -> None:
    """Passages per second with four batches of 64 in flight."""
    done = 0
    cpu_us = 0
    tokens = 0
    started = time.perf_counter()

    async def batches() -> None:
        nonlocal done, cpu_us, tokens
        while time.perf_counter() - started < seconds:
            embedded = await pool.embed(job([passage] * 16, Lane.BULK))
            done += len(embedded.tokens)
            cpu_us += embedded.cpu_us
            tokens = embedded.tokens[0]

    await asyncio.gather(*(batches() for _ in range(4)))
    elapsed = time.perf_counter() - started
    print(
        f"passages of {tokens:4} tokens  {done / elapsed:6.1f} /s   "
        f"{cpu_us / done / 1000:6.1f} CPU ms each"
    )


async def keep_busy(pool: WorkerPool) -> None:
    while True:
        await pool.embed(job([SENTENCE * 12] * 64, Lane.BULK))


def memory(pid: int) -> str:
    rows = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    )
    kilobytes = {name: int(rows[name].split()[0]) for name in ("Rss", "Pss", "Private_Dirty")}
    return "  ".join(f"{name} {value // 1024} MB" for name, value in kilobytes.items())


if __name__ == "__main__":
    asyncio.run(main())
