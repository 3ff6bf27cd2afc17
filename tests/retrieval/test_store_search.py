"""The search statements: the same scores as the formulas, for one tenant's rows only."""

from uuid import UUID, uuid4

import numpy as np
import pytest
from fleetkit.ids import new_id
from fleetkit.postgres import Database
from pgvector import Vector
from retrieval.index import bm25
from retrieval.store import chunks as chunk_store
from retrieval.store import search
from retrieval.store.rows import IndexStat, NewChunk

MODEL = "local/test@1"
DRAW = np.random.default_rng(5)


@pytest.fixture
async def db(retrieval) -> Database:
    return retrieval.db


def vector() -> tuple[str, np.ndarray]:
    values = DRAW.standard_normal(384).astype(np.float32)
    values /= np.linalg.norm(values)
    return Vector(values).to_text(), values


async def store(
    db: Database, tenant_id: UUID, bags: list[dict[str, float]], vectors: list[str]
) -> IndexStat:
    document_id = new_id()
    chunks = [
        NewChunk(new_id(), n, [], 0, 1, 1, "x", b"", vectors[n], bag, sum(bag.values()))
        for n, bag in enumerate(bags)
    ]
    async with db.tenant(tenant_id) as conn:
        source_id = new_id()
        await conn.execute(
            "insert into source (tenant_id, source_id, type, given_title, url, file_name,"
            " content_id, content_sha256, byte_count, create_time, update_time)"
            " values (%s, %s, 'text', '', '', '', %s, '', 0, now(), now())",
            [tenant_id, source_id, new_id()],
        )
        await conn.execute(
            "insert into document (tenant_id, document_id, source_id, status, update_time)"
            " values (%s, %s, %s, 'ready', now())",
            [tenant_id, document_id, source_id],
        )
        await chunk_store.insert_chunks(conn, tenant_id, document_id, MODEL, chunks)
    return IndexStat(1, len(bags), sum(sum(bag.values()) for bag in bags))


class TestLexicalHits:
    async def test_scores_as_the_formula_does(self, db, tenant_id):
        words = [f"w{n}" for n in range(12)]
        bags = [
            {w: float(DRAW.integers(1, 5)) for w in DRAW.choice(words, DRAW.integers(1, 8), False)}
            for _ in range(60)
        ]
        stat = await store(db, tenant_id, bags, [vector()[0] for _ in bags])
        query = ["w1", "w2", "w3", "absent"]
        async with db.tenant(tenant_id) as conn:
            frequencies = await search.frequencies(conn, tenant_id, query)
            corpus = bm25.CorpusStats(stat.chunk_count, stat.length_sum)
            rarities = {w: bm25.idf(n, corpus.chunk_count) for w, n in frequencies.items()}
            hits = await search.lexical_hits(conn, tenant_id, rarities, corpus.mean_length, 100)
        assert frequencies == {w: sum(w in bag for bag in bags) for w in query if w != "absent"}
        expected = sorted(
            (
                bm25.score(bag, sum(bag.values()), dict.fromkeys(query, 1), frequencies, corpus)
                for bag in bags
                if any(w in bag for w in query)
            ),
            reverse=True,
        )
        assert [hit.score for hit in hits] == pytest.approx(expected, rel=1e-5)

    async def test_sees_no_other_tenants_words(self, db, tenant_id, other_tenant_id):
        await store(db, tenant_id, [{"mine": 1.0}], [vector()[0]])
        await store(db, other_tenant_id, [{"mine": 1.0}] * 3, [vector()[0]] * 3)
        async with db.tenant(tenant_id) as conn:
            assert await search.frequencies(conn, tenant_id, ["mine"]) == {"mine": 1}
            assert len(await search.lexical_hits(conn, tenant_id, {"mine": 1.0}, 1.0, 10)) == 1
            assert not await search.frequencies(conn, other_tenant_id, ["mine"])
            assert not await search.lexical_hits(conn, other_tenant_id, {"mine": 1.0}, 1.0, 10)


class TestDenseHits:
    async def test_is_an_exact_scan_of_the_tenants_vectors(self, db, tenant_id, other_tenant_id):
        made = [vector() for _ in range(200)]
        await store(db, tenant_id, [{"x": 1.0}] * 200, [text for text, _ in made])
        await store(db, other_tenant_id, [{"x": 1.0}] * 50, [vector()[0] for _ in range(50)])
        text, query = vector()
        async with db.tenant(tenant_id) as conn:
            hits = await search.dense_hits(conn, tenant_id, MODEL, text, 40)
            chosen = [hit.chunk_no for hit in hits[:5]]
            again = await search.cosines(conn, tenant_id, MODEL, text, chosen)
            assert not await search.dense_hits(conn, tenant_id, "another/model@1", text, 40)
        expected = sorted((float(values @ query) for _, values in made), reverse=True)[:40]
        assert [hit.cosine for hit in hits] == pytest.approx(expected, abs=1e-5)
        assert again == pytest.approx({hit.chunk_no: hit.cosine for hit in hits[:5]})

    async def test_of_an_unknown_tenant_finds_nothing(self, db):
        tenant = uuid4()
        async with db.tenant(tenant) as conn:
            assert not await search.dense_hits(conn, tenant, MODEL, vector()[0], 5)
