"""Search as knowledge grows, beside a plain alternative in the same run.

Run: python -m tests.load.bench_search [--quick] [--sizes 1000,10000,100000] [--tenants 1000]
     [--searches 200] [--data ../shared/data] [--cache .data/eval]

Passages are noisy copies of a help centre's, with its real vectors, loaded by COPY; questions are
that help centre's. What is timed is a whole search of the service (reading the index under its
row policies, scoring, fusing, passages with their texts) without embedding the question and
without gRPC, in this process, over a PostgreSQL of its own. The alternative is what one would
write oneself: tantivy and a matrix of all vectors in this process's memory, for one tenant. Beside
the elapsed times stands what a search took of this process's CPU and of PostgreSQL's, which other
work on the machine changes little; recall@10 is that of the vectors' codes, of the ten nearest.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import count as counting
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from eval.memory_index import cut
from eval.sets import available
from eval.vectors import VectorCache
from fleetkit import logging
from fleetkit.postgres import Database
from fleetkit.tokens import TokenCounter, tokenizer_path
from harness.databases import Databases
from harness.run import Run
from pgvector import Vector
from pydantic import SecretStr
from retrieval.config import Settings
from retrieval.index.embedding import Embedded, name_of
from retrieval.index.query_vectors import QueryVectors
from retrieval.index.search import Searcher
from retrieval.index.weights import load_weights
from retrieval.knowledge import models

from . import machine
from .index_loader import MODEL, Knowledge, copies, load, sizes
from .plain_alternative import PlainIndex
from .tables import percentile, table

_SET = "kb_arduino_help"
_HEAD = ["what", "chunks", "callers", "p50 ms", "p95 ms", "p99 ms", "searches/s", "CPU ms"]
_HEAD += ["database CPU ms", "recall@10"]
_RECALLED = 50
_KEPT = 64 * 2**20
_ALONE, _BESIDE = "one tenant", "the same, beside all others"


class Remembered:
    """Stands for the embedding model: knows the questions' vectors already."""

    def __init__(self, queries: Sequence[str], vectors: np.ndarray) -> None:
        self._known = {q: Vector(v).to_text() for q, v in zip(queries, vectors, strict=True)}

    async def query(self, text: str, _model: str) -> Embedded:
        """The vector of a question, at once."""
        return Embedded(MODEL, (self._known[text],))


async def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of sizes, tenants, searches")
    parser.add_argument("--sizes", default="1000,10000,100000", help="chunks of one tenant")
    parser.add_argument("--tenants", type=int, default=1_000, help="tenants of 100 chunks each")
    parser.add_argument("--searches", type=int, default=200, help="searches of each row")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path(".data/eval"), help="kept vectors")
    options = parser.parse_args()
    found = list(available(options.data, (_SET,)))
    if not found:
        print("nothing was measured")
        return
    logging.configure("bench", "error")
    scale = 10 if options.quick else 1
    wanted = [max(int(size) // scale, 100) for size in options.sizes.split(",")]
    tenants, searches = options.tenants // scale, max(options.searches // scale, 20)
    base, queries, asked = _real(found[0], options.cache)
    run = Run.begin()
    try:
        database = await Databases(run).copy("retrieval")
        settings = Settings(
            keys_dir=Path(), postgres_url=SecretStr(database.url), postgres_pool_max=16
        )
        db = await Database.open(settings)
        try:
            asking = dict(zip(queries, asked, strict=True))
            bench = _Bench(db, database.admin_url, base, asking, searches, await _server(db))
            await bench.measure(wanted, tenants)
        finally:
            await db.close()
    finally:
        run.end()


def _real(evaluated: Any, folder: Path) -> tuple[Knowledge, list[str], np.ndarray]:
    cache = VectorCache(folder)
    chunks = cut(evaluated, TokenCounter(tokenizer_path(None)))
    vectors = cache.embed([chunk.embedded for chunk in chunks])
    texts = [chunk.embedded for chunk in chunks]
    queries = list(dict.fromkeys(query.text for query in evaluated.answerable))
    return (
        Knowledge(texts, [chunk.weights for chunk in chunks], vectors),
        queries,
        cache.embed(queries),
    )


class _Bench:
    """Fills one database, a tenant after the other, and times searches of it."""

    def __init__(
        self,
        db: Database,
        admin_url: str,
        base: Knowledge,
        asked: dict[str, np.ndarray],
        searches: int,
        server: psutil.Process,
    ) -> None:
        self._admin_url = admin_url
        self._base = base
        self._asked = asked
        self._server = server
        queries = list(asked)
        self._queries = [queries[n % len(queries)] for n in range(searches)]
        embedder: Any = Remembered(queries, np.stack(list(asked.values())))
        nobody: Any = None  # no search here is reranked
        vectors = QueryVectors(embedder, name_of(MODEL), partial(models.reembed, db))
        self._searcher = Searcher(
            db, vectors, load_weights(), nobody, candidates=40, kept_bytes=_KEPT
        )
        self._rows: list[list[str]] = []
        self._bytes: list[list[str]] = []

    async def measure(self, counts: Sequence[int], tenants: int) -> None:
        """Prints each row as it is found, and the tables at the end."""
        known = {count: await self._one_tenant(count) for count in counts}
        many = [uuid4() for _ in range(tenants)]
        before = await sizes(self._admin_url)
        small = [(tenant, copies(self._base, 100, seed=n)) for n, tenant in enumerate(many)]
        await load(self._admin_url, small)
        after = await sizes(self._admin_url)
        self._bytes.append(_bytes_row("small tenants", 100 * tenants, before, after))
        await self._timed(f"{tenants:,} tenants of 100", 100, self._search(many))
        for count in counts[:2]:
            await self._timed(_BESIDE, count, self._search([known[count]]))
        print(f"\nMeasured on {machine.describe()}.\n")
        print(table(_HEAD, self._rows))
        print(table(["bytes a chunk", "chunks", "lists", "codes", "vectors", "all"], self._bytes))

    async def _one_tenant(self, count: int) -> UUID:
        made = copies(self._base, count, seed=count)
        tenant_id = uuid4()
        before = await sizes(self._admin_url)
        await load(self._admin_url, [(tenant_id, made)])
        self._bytes.append(_bytes_row(_ALONE, count, before, await sizes(self._admin_url)))
        recall = await self._recall(tenant_id, made)
        await self._timed(_ALONE, count, self._search([tenant_id]), recall)
        with tempfile.TemporaryDirectory() as folder:
            plain = PlainIndex(made, Path(folder))
            await self._timed("tantivy + numpy", count, _threaded(plain, self._asked), 1.0)
            self._bytes.append(["tantivy + numpy", f"{count:,}", *plain.bytes_a_chunk()])
        return tenant_id

    def _search(self, tenants: Sequence[UUID]) -> Callable[[str], Awaitable[Any]]:
        """Searches of the tenants in turn."""
        turn = counting()

        async def search(query: str) -> None:
            found = await self._searcher.search(tenants[next(turn) % len(tenants)], query, 10)
            assert len(found.hits) == 10

        return search

    async def _recall(self, tenant_id: UUID, made: Knowledge) -> float:
        """Share of the ten nearest vectors that a search's candidates hold."""
        shares: list[float] = []
        for query in dict.fromkeys(self._queries[:_RECALLED]):
            found = await self._searcher.fused(tenant_id, query, 10)
            nearest = {
                found.passages[item.candidate.chunk_no].text
                for item in found.ranked
                if (item.candidate.dense_rank or 99) <= 10
            }
            exact = np.argsort(-(made.vectors @ self._asked[query]))[:10]
            shares.append(sum(made.texts[i] in nearest for i in exact) / 10)
        return float(np.mean(shares))

    async def _timed(
        self,
        what: str,
        chunks: int,
        search: Callable[[str], Awaitable[Any]],
        recall: float | None = None,
    ) -> None:
        for query in self._queries[:10]:
            await search(query)
        for callers in (1, 16):
            started, own, theirs = time.perf_counter(), time.process_time(), _cpu_s(self._server)
            times = await _times(list(self._queries), search, callers)
            rate = len(times) / (time.perf_counter() - started)
            cpu_ms = 1_000 * (time.process_time() - own) / len(times)
            database_ms = 1_000 * (_cpu_s(self._server) - theirs) / len(times)
            cells = [f"{percentile(times, percent):.1f}" for percent in (50, 95, 99)]
            cells += [f"{rate:.0f}", f"{cpu_ms:.1f}", f"{database_ms:.1f}"]
            shown = "" if recall is None or callers > 1 else f"{recall:.3f}"
            self._rows.append([what, f"{chunks:,}", str(callers), *cells, shown])
            print("  " + " · ".join(filter(None, self._rows[-1])), flush=True)


async def _server(db: Database) -> psutil.Process:
    """The PostgreSQL server that the connections are to."""
    async with db.fleet() as conn:
        rows = await conn.execute("select pg_backend_pid()")
        found = await rows.fetchall()
    server = psutil.Process(found[0][0]).parent()
    assert server is not None
    return server


def _cpu_s(server: psutil.Process) -> float:
    """What the server's processes have used so far, those that have ended left out."""
    used = [child.cpu_times() for child in server.children()]
    return sum(times.user + times.system for times in used)


def _bytes_row(what: str, count: int, before: dict[str, int], after: dict[str, int]) -> list[str]:
    grown = {name: (after[name] - before[name]) / count for name in after}
    cells = [grown["lists"], grown["codes"], grown["vectors"], sum(grown.values())]
    return [what, f"{count:,}", *(f"{cell:,.0f}" for cell in cells)]


def _threaded(plain: PlainIndex, vectors: dict[str, np.ndarray]) -> Callable[[str], Awaitable[Any]]:
    async def search(query: str) -> None:
        await asyncio.to_thread(plain.search, query, vectors[query], 10)

    return search


async def _times(
    waiting: list[str], search: Callable[[str], Awaitable[Any]], callers: int
) -> list[float]:
    """Milliseconds of each search."""
    times: list[float] = []

    async def work() -> None:
        while waiting:
            query = waiting.pop()
            started = time.perf_counter()
            await search(query)
            times.append((time.perf_counter() - started) * 1_000)

    await asyncio.gather(*(work() for _ in range(callers)))
    return times


if __name__ == "__main__":
    asyncio.run(main())
