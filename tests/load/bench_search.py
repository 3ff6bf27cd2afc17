"""Search as knowledge grows, beside a plain alternative in the same run.

Run: python -m tests.load.bench_search [--quick] [--data ../shared/data] [--cache .data/eval]

Passages are noisy copies of a help centre's, with its real vectors, loaded by COPY; questions are
that help centre's. What is timed is a whole search of the service (reading the index under its
row policies, scoring, fusing, passages with their texts) without embedding the question and
without gRPC, in this process, over a PostgreSQL of its own. The alternative is what one would
write oneself: tantivy and a matrix of all vectors in this process's memory, for one tenant.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np

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
_HEAD = ["what", "chunks", "callers", "p50 ms", "p95 ms", "p99 ms", "searches/s", "recall@10"]
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
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path(".data/eval"), help="kept vectors")
    options = parser.parse_args()
    found = list(available(options.data, (_SET,)))
    if not found:
        print("nothing was measured")
        return
    logging.configure("bench", "error")
    base, queries, asked = _real(found[0], options.cache)
    run = Run.begin()
    try:
        database = await Databases(run).copy("retrieval")
        settings = Settings(
            keys_dir=Path(), postgres_url=SecretStr(database.url), postgres_pool_max=16
        )
        db = await Database.open(settings)
        try:
            await _measure(db, database.admin_url, base, queries, asked, quick=options.quick)
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


async def _measure(
    db: Database,
    admin_url: str,
    base: Knowledge,
    queries: list[str],
    asked: np.ndarray,
    *,
    quick: bool,
) -> None:
    scale = 10 if quick else 1
    embedder: Any = Remembered(queries, asked)
    nobody: Any = None  # no search here is reranked
    vectors = QueryVectors(embedder, name_of(MODEL), partial(models.reembed, db))
    searcher = Searcher(db, vectors, load_weights(), nobody, candidates=40)
    rows: list[list[str]] = []
    bytes_rows: list[list[str]] = []
    tenants: dict[int, UUID] = {}
    for count in (1_000 // scale, 10_000 // scale, 100_000 // scale):
        made = copies(base, count, seed=count)
        tenants[count] = uuid4()
        before = await sizes(admin_url)
        await load(admin_url, [(tenants[count], made)])
        bytes_rows.append(_bytes_row("one tenant", count, before, await sizes(admin_url)))
        recall = await _recall(searcher, tenants[count], made, queries, asked)
        search = _search(searcher, [tenants[count]])
        rows += await _timed(_ALONE, count, queries, search, recall)
        with tempfile.TemporaryDirectory() as folder:
            plain = PlainIndex(made, Path(folder))
            alternative = _threaded(plain, dict(zip(queries, asked, strict=True)))
            rows += await _timed("tantivy + numpy", count, queries, alternative, 1.0)
            bytes_rows.append(["tantivy + numpy", f"{count:,}", *plain.bytes_a_chunk()])
    many = [uuid4() for _ in range(1_000 // scale)]
    before = await sizes(admin_url)
    await load(admin_url, [(tenant, copies(base, 100, seed=n)) for n, tenant in enumerate(many)])
    after = await sizes(admin_url)
    bytes_rows.append(_bytes_row("small tenants", 100 * len(many), before, after))
    rows += await _timed(f"{len(many):,} tenants of 100", 100, queries, _search(searcher, many))
    for count, tenant in list(tenants.items())[:2]:
        rows += await _timed(_BESIDE, count, queries, _search(searcher, [tenant]))
    print(f"Measured on {machine.describe()}.\n")
    print(table(_HEAD, rows))
    print(table(["bytes a chunk", "chunks", "lists", "codes", "vectors", "all"], bytes_rows))


def _bytes_row(what: str, count: int, before: dict[str, int], after: dict[str, int]) -> list[str]:
    grown = {name: (after[name] - before[name]) / count for name in after}
    cells = [grown["lists"], grown["codes"], grown["vectors"], sum(grown.values())]
    return [what, f"{count:,}", *(f"{cell:,.0f}" for cell in cells)]


def _search(searcher: Searcher, tenants: Sequence[UUID]) -> Callable[[str], Awaitable[Any]]:
    """Searches of the tenants in turn."""
    turn = iter(range(10**9))

    async def search(query: str) -> None:
        found = await searcher.search(tenants[next(turn) % len(tenants)], query, 10)
        assert len(found.hits) == 10

    return search


def _threaded(plain: PlainIndex, vectors: dict[str, np.ndarray]) -> Callable[[str], Awaitable[Any]]:
    async def search(query: str) -> None:
        await asyncio.to_thread(plain.search, query, vectors[query], 10)

    return search


async def _recall(
    searcher: Searcher, tenant_id: UUID, made: Knowledge, queries: list[str], asked: np.ndarray
) -> float:
    """Share of the ten nearest vectors that a search's candidates hold."""
    shares: list[float] = []
    for query, vector in zip(queries[:50], asked, strict=False):
        found = await searcher.search(tenant_id, query, 50)
        nearest = {
            h.passage.text for h in found.hits if (h.ranked.candidate.dense_rank or 99) <= 10
        }
        exact = np.argsort(-(made.vectors @ vector))[:10]
        shares.append(sum(made.texts[i] in nearest for i in exact) / 10)
    return float(np.mean(shares))


async def _timed(
    what: str,
    chunks: int,
    queries: list[str],
    search: Callable[[str], Awaitable[Any]],
    recall: float | None = None,
) -> list[list[str]]:
    for query in queries[:10]:
        await search(query)
    rows: list[list[str]] = []
    for callers in (1, 16):
        started = time.perf_counter()
        times = await _times(queries * 3, search, callers)
        rate = len(times) / (time.perf_counter() - started)
        cells = [f"{percentile(times, percent):.1f}" for percent in (50, 95, 99)]
        shown = "" if recall is None or callers > 1 else f"{recall:.3f}"
        rows.append([what, f"{chunks:,}", str(callers), *cells, f"{rate:.0f}", shown])
    print(f"  {what}, {chunks:,} chunks: measured", flush=True)
    return rows


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
