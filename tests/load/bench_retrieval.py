"""Retrieval with the real embedding model: ingest of a help centre, then searches as it grows.

Run: python tests/load/bench_retrieval.py [--data ../shared/data] [--chunks 20000]

Starts its own PostgreSQL, NATS, llm-gateway and retrieval; the two services share one process and
one event loop, the embedding model and the parsers have theirs. Larger knowledge is made of noisy
copies of the real vectors.
"""

import argparse
import asyncio
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from fleetdesk.retrieval.v1 import document_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetdesk.retrieval.v1.retrieval_service_pb2_grpc import RetrievalServiceStub
from fleetdesk_local.nats_server import NatsServer
from fleetdesk_local.roster import SERVICES
from fleetkit import logging
from fleetkit.context import Identity
from fleetkit.ids import new_id
from fleetkit.rpc.identity import acting_as
from fleetkit.rpc.keys import KeyRing, generate_keys
from harness.databases import Databases
from harness.retrieval_index import put
from harness.run import Run
from harness.services import FleetServices, Running
from pgvector import Vector
from retrieval.index.terms import weighted_terms
from retrieval.store.rows import NewChunk

READY, FAILED = document_pb2.DOCUMENT_STATUS_READY, document_pb2.DOCUMENT_STATUS_FAILED
PENDING = (
    document_pb2.DOCUMENT_STATUS_QUEUED,
    document_pb2.DOCUMENT_STATUS_PARSING,
    document_pb2.DOCUMENT_STATUS_EMBEDDING,
)
OFF_TOPIC = ("What is the capital of France?", "How do I cook rice?", "Who won the football game?")
BATCH = 50


class Tenant:
    """A tenant's admin, through the gateway."""

    def __init__(self, retrieval: Running, keys_dir: Path) -> None:
        self.tenant_id = uuid4()
        self.retrieval = retrieval
        self.stub: Any = retrieval.stub(RetrievalServiceStub, "gateway")
        self._gateway = KeyRing.load(keys_dir, "gateway")

    def acting(self) -> Any:
        person = Identity(self.tenant_id, str(uuid4()), "user", frozenset({"admin"}))
        return acting_as(self._gateway, person, 100.0)

    async def ingest(self, files: Sequence[tuple[str, bytes]]) -> float:
        """Seconds until every file is ready or has failed."""
        started = time.perf_counter()
        for start in range(0, len(files), BATCH):
            sources = [
                pb.SourceInput(type=document_pb2.SOURCE_TYPE_FILE, file_name=name, content=content)
                for name, content in files[start : start + BATCH]
            ]
            request = pb.CreateSourcesRequest(request_id=str(uuid4()), sources=sources)
            with self.acting():
                await self.stub.CreateSources(request)
        print(f"  {len(files)} files taken after {time.perf_counter() - started:.1f} s")
        while counts := await self.counts():
            if not any(counts[status] for status in PENDING):
                print(f"  ready {counts[READY]}, failed {counts[FAILED]}")
                return time.perf_counter() - started
            await asyncio.sleep(0.5)
        raise AssertionError("counts are never empty")

    async def counts(self) -> dict[int, int]:
        with self.acting():
            response = await self.stub.ListSources(pb.ListSourcesRequest(page_size=1))
        return {count.status: count.count for count in response.counts}

    async def search(self, query: str) -> pb.SearchResponse:
        with self.acting():
            return await self.stub.Search(pb.SearchRequest(query=query))


async def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description="Measures retrieval.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--chunks", type=int, default=20_000)
    options = parser.parse_args()
    logging.configure("bench", "error")
    run = Run.begin()
    folder = Path(tempfile.mkdtemp(prefix="fleetdesk-bench-"))
    generate_keys(folder / "keys", list(SERVICES))
    nats = NatsServer(folder / "nats", services=SERVICES)
    nats.start()
    services = FleetServices(Databases(run), nats, folder / "keys", folder)
    try:
        llm_gateway = await services.start("llm-gateway")
        retrieval = await services.start("retrieval", llm_gateway_address=llm_gateway.address)
        await measure(Tenant(retrieval, folder / "keys"), options)
        await judge_small(Tenant(retrieval, folder / "keys"))
    finally:
        await services.stop_all()
        nats.stop()
        run.end()


async def measure(tenant: Tenant, options: argparse.Namespace) -> None:
    files, queries = help_centre(options.data)
    print(f"ingest of {len(files)} articles")
    seconds = await tenant.ingest(files)
    (stat,) = await tenant.retrieval.rows(
        "select chunk_count from index_stat where tenant_id = %s", tenant.tenant_id
    )
    count = stat["chunk_count"]
    print(
        f"  {seconds:.1f} s: {len(files) / seconds:.1f} documents/s, {count / seconds:.1f} chunks/s"
    )
    await judge(tenant, queries)
    await searches(tenant, queries, f"{count:,} chunks")
    if options.chunks > count:
        await grow(tenant, options.chunks - count)
        await searches(tenant, queries, f"{options.chunks:,} chunks")
    await sizes(tenant)


async def judge(tenant: Tenant, queries: Sequence[str]) -> None:
    inside = [(await tenant.search(query)).relevance for query in queries]
    print(f"relevance of {len(queries)} questions of the help centre: median", end=" ")
    print(f"{statistics.median(inside):.2f}, {sum(r >= 0.5 for r in inside)} at 0.5 or more")
    for query in OFF_TOPIC:
        print(f"  {(await tenant.search(query)).relevance:.3f}  {query}")


async def judge_small(tenant: Tenant) -> None:
    root = Path(__file__).parents[2]
    readmes = sorted(path for path in root.glob("**/README.md") if ".venv" not in str(path))
    readmes = [path for path in readmes if "node_modules" not in str(path)][:12]
    print(f"knowledge of {len(readmes)} README files")
    await tenant.ingest([(path.name, path.read_bytes()) for path in readmes])
    for query in (*OFF_TOPIC, "How do I start the fleet?", "Which service keeps the cost ledger?"):
        print(f"  {(await tenant.search(query)).relevance:.3f}  {query}")


async def searches(tenant: Tenant, queries: Sequence[str], what: str) -> None:
    for callers in (1, 16):
        times = await latencies(tenant.search, queries, callers)
        print(f"search, {what}, {callers} callers: {quantiles(times)}")
    embedded = await latencies(lambda query: embed(tenant, query), queries, 1)
    print(f"  of it the query's vector, 1 caller: {quantiles(embedded)}")


async def embed(tenant: Tenant, query: str) -> None:
    from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2 import EMBED_KIND_QUERY, EmbedRequest
    from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub

    stub: Any = LlmGatewayServiceStub(tenant.retrieval.rt.clients.channel("llm-gateway"))
    with tenant.acting():
        await stub.Embed(EmbedRequest(texts=[query], kind=EMBED_KIND_QUERY))


async def latencies(
    call: Callable[[str], Awaitable[Any]], queries: Sequence[str], callers: int
) -> list[float]:
    """Milliseconds of each call; every query is asked three times."""
    waiting = list(queries) * 3
    times: list[float] = []

    async def work() -> None:
        while waiting:
            query = waiting.pop()
            started = time.perf_counter()
            await call(query)
            times.append((time.perf_counter() - started) * 1_000)

    await asyncio.gather(*(work() for _ in range(callers)))
    return times


def quantiles(times: Sequence[float]) -> str:
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms"


async def grow(tenant: Tenant, count: int) -> None:
    """Adds noisy copies of the tenant's chunks to one of its documents."""
    draw = np.random.default_rng(1)
    db = tenant.retrieval.db
    async with db.tenant(tenant.tenant_id) as conn:
        rows = await conn.execute(
            "select c.text, e.embedding::text, e.model from chunk c"
            " join chunk_embedding e using (tenant_id, slot) where c.tenant_id = %s",
            [tenant.tenant_id],
        )
        real = await rows.fetchall()
    for start in range(0, count, 1_000):
        picked = [real[i] for i in draw.integers(0, len(real), min(1_000, count - start))]
        chunks = [copy_of(row, n, draw) for n, row in enumerate(picked)]
        await put(db, tenant.tenant_id, chunks, model=real[0][2])


def copy_of(row: tuple[Any, ...], ordinal: int, draw: np.random.Generator) -> NewChunk:
    vector = Vector.from_text(row[1]).to_numpy() + draw.normal(0, 0.02, 384)
    vector /= np.linalg.norm(vector)
    weights = weighted_terms(row[0], "", 1.0)
    embedding = Vector(vector).to_text()
    return NewChunk(
        new_id(), ordinal, [], 0, 1, 1, row[0], b"", embedding, weights, sum(weights.values())
    )


async def sizes(tenant: Tenant) -> None:
    rows = await tenant.retrieval.rows(
        "select relname, pg_total_relation_size(oid) as bytes from pg_class"
        " where relname in ('chunk', 'chunk_embedding', 'posting_block', 'length_block',"
        " 'code_block')"
    )
    (count,) = await tenant.retrieval.rows("select count(*) as n from chunk")
    for row in rows:
        print(f"  {row['relname']}: {row['bytes'] / count['n']:,.0f} bytes a chunk")


def help_centre(data: Path) -> tuple[list[tuple[str, bytes]], list[str]]:
    """Names and contents of the articles, and the questions about them."""
    import json

    files: list[tuple[str, bytes]] = []
    queries: list[str] = []
    with tarfile.open(data / "kb_arduino_help.tar.gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None and member.name.endswith(".md"):
                files.append((Path(member.name).name, file.read()))
            elif file is not None and member.name.endswith("queries.jsonl"):
                queries = [json.loads(line)["text"] for line in file.read().splitlines()]
    return files, queries


if __name__ == "__main__":
    asyncio.run(main())
