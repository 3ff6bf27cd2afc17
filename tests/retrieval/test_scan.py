"""Scanning: the scores are the formula's, and the codes lose almost none of the nearest."""

import random

import numpy as np
import pytest
from harness.retrieval_index import put_bags, vector
from hypothesis import given
from hypothesis import strategies as st
from retrieval.index import bm25, packing, scan
from retrieval.index.decoded import decode
from retrieval.store import blocks


class TestScan:
    async def test_scores_words_as_the_formula_does(self, db, tenant_id):
        draw = random.Random(1)
        words = [f"w{n}" for n in range(12)]
        bags = [
            {w: float(draw.randint(1, 5)) for w in draw.sample(words, draw.randint(1, 8))}
            for _ in range(60)
        ]
        await put_bags(db, tenant_id, bags)
        query = ["w1", "w2", "w3", "absent"]
        async with db.snapshot(tenant_id) as conn:
            read = await blocks.read(conn, tenant_id, query)
            found = scan.scan(read, decode(read), None, 10)
        frequencies = {w: sum(w in bag for bag in bags) for w in query if w != "absent"}
        assert found.frequencies == frequencies
        stats = bm25.CorpusStats(60, sum(sum(bag.values()) for bag in bags))
        expected = [
            bm25.score(bag, sum(bag.values()), dict.fromkeys(query, 1), frequencies, stats)
            for bag in bags
        ]
        assert list(found.scores) == pytest.approx(expected, rel=1e-5)
        best = sorted(range(60), key=lambda slot: (-found.scores[slot], slot))
        assert found.by_words == best[:10]
        assert found.matched([3, 7]) == {
            slot: frozenset(w for w in query if w in bags[slot]) for slot in (3, 7)
        }

    async def test_of_few_passages_looks_at_every_vector(self, db, tenant_id):
        await put_bags(db, tenant_id, [{"x": 1.0}] * 30)
        async with db.snapshot(tenant_id) as conn:
            read = await blocks.read(conn, tenant_id, ["x"])
        assert sorted(scan.scan(read, decode(read), vector()[1], 40).by_codes) == list(range(30))


class TestNearest:
    def test_finds_nearly_all_of_the_nearest_vectors(self):
        draw = np.random.default_rng(2)
        centres = draw.standard_normal((400, 384))
        vectors = centres[draw.integers(0, 400, 12_000)] + draw.standard_normal((12_000, 384)) * 0.5
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        codes = np.packbits(vectors > 0, axis=1)
        live = np.ones(12_000, bool)
        live[::7] = False
        hits = 0
        for query in vectors[draw.integers(0, 12_000, 20)]:
            asked = query + draw.standard_normal(384).astype(np.float32) * 0.03
            exact = np.where(live, vectors @ asked, -9.0).argsort()[-10:]
            near = scan.nearest(codes, live, asked, 400)
            assert len(near) == len(set(near)) == 400
            assert all(live[slot] for slot in near)
            hits += len(set(near) & {int(slot) for slot in exact})
        assert hits >= 196


class TestBest:
    @given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 20))
    def test_is_the_head_of_the_sorted_scores(self, values, limit):
        scores = np.array(values, np.float32)
        expected = sorted(
            (slot for slot, value in enumerate(values) if value > 0),
            key=lambda slot: (-values[slot], slot),
        )
        assert scan.best(scores, limit) == expected[:limit]


class TestPacking:
    @given(
        st.sets(
            st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1), max_size=20
        )
    )
    def test_terms_come_back(self, terms):
        assert set(packing.unpack_terms(packing.pack_terms(terms))) == terms
