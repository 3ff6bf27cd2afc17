"""The statements of a search see one tenant's rows, and the cosine is the one of the formulas."""

from uuid import uuid4

import numpy as np
import psycopg
import pytest
from harness.retrieval_index import MODEL, put_bags, vector
from retrieval.index.decoded import Decoded, DecodedIndexes
from retrieval.store import blocks, search


class TestRead:
    async def test_sees_no_other_tenants_words(self, db, tenant_id, other_tenant_id):
        await put_bags(db, tenant_id, [{"mine": 1.0}])
        await put_bags(db, other_tenant_id, [{"mine": 1.0}] * 3)
        async with db.snapshot(tenant_id) as conn:
            mine = await blocks.read(conn, tenant_id, ["mine"])
            theirs = await blocks.read(conn, other_tenant_id, ["mine"])
        assert mine.stat.chunk_count == 1
        assert len(mine.postings) == len(mine.codes) == len(mine.lengths) == 1
        assert theirs.stat.chunk_count == 0
        assert not theirs.postings + theirs.codes + theirs.lengths

    async def test_of_an_unknown_tenant_is_empty(self, db):
        tenant = uuid4()
        async with db.snapshot(tenant) as conn:
            found = await blocks.read(conn, tenant, ["x"])
        assert found.stat.slot_count == 0

    async def test_is_of_one_moment(self, db, tenant_id):
        await put_bags(db, tenant_id, [{"a": 1.0}])
        async with db.snapshot(tenant_id) as conn:
            before = await blocks.read(conn, tenant_id, ["a"])
            await put_bags(db, tenant_id, [{"a": 1.0}] * 5)
            assert await blocks.read(conn, tenant_id, ["a"]) == before

    async def test_leaves_out_what_is_known_of_the_same_version(self, db, tenant_id):
        document_id = await put_bags(db, tenant_id, [{"a": 1.0}])
        async with db.snapshot(tenant_id) as conn:
            known = (await blocks.read(conn, tenant_id, ["a"])).stat.knowledge_version
            again = await blocks.read(conn, tenant_id, ["a"], known)
        assert (again.codes, again.lengths, len(again.postings)) == ([], [], 1)
        await put_bags(db, tenant_id, [{"a": 1.0}], document_id=document_id)
        async with db.snapshot(tenant_id) as conn:
            changed = await blocks.read(conn, tenant_id, ["a"], known)
        assert changed.codes
        assert changed.lengths


class TestPassages:
    async def test_of_a_large_tenant_are_read_alone_where_most_tenants_are_small(
        self, retrieval, tenant_id
    ):
        await put_bags(retrieval.db, tenant_id, [{"x": 1.0}] * 1_500)
        await _put_small_tenants(retrieval, 200)
        async with retrieval.db.snapshot(tenant_id) as conn:
            # By its sixth time a statement may have one plan for all tenants.
            for _ in range(8):
                await search.passages(conn, tenant_id, [0])
            before = await _chunks_read(conn)
            assert len(await search.passages(conn, tenant_id, range(0, 800, 10))) == 80
            assert await _chunks_read(conn) - before == 80


async def _put_small_tenants(retrieval, count: int) -> None:
    """Each has a document of one passage; what the planner knows is brought up to date."""
    async with await psycopg.AsyncConnection.connect(
        retrieval.database.admin_url, options="-c search_path=retrieval", autocommit=True
    ) as conn:
        await conn.execute(
            "with new (tenant_id, id) as materialized (select gen_random_uuid(), gen_random_uuid()"
            "  from generate_series(1, %s)), s as (insert into source"
            " (tenant_id, source_id, type, given_title, url, file_name, content_id,"
            "  content_sha256, byte_count, create_time, update_time)"
            " select tenant_id, id, 'text', '', '', '', id, '', 0, now(), now() from new),"
            " d as (insert into document (tenant_id, document_id, source_id, status, update_time)"
            " select tenant_id, id, id, 'ready', now() from new)"
            " insert into chunk (tenant_id, chunk_id, document_id, ordinal, heading_path,"
            "  span_start, span_end, token_count, length, text, slot)"
            " select tenant_id, id, id, 0, '{}', 0, 1, 1, 1, 'x', 0 from new",
            [count],
        )
        await conn.execute("analyze source, document, chunk")


async def _chunks_read(conn) -> int:
    rows = await conn.execute(
        "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'chunk'"
    )
    return (await rows.fetchone())[0]


class TestDecodedIndexes:
    def test_keep_the_last_used_large_ones_within_their_bytes(self):
        one, two, three = uuid4(), uuid4(), uuid4()
        kept = DecodedIndexes(200_000)
        for tenant in (one, two):
            kept.keep(tenant, decoded(10_000))
        assert kept.get(one) is not None
        for _ in range(2):
            kept.keep(three, decoded(50_000))
        assert kept.get(two) is None
        assert kept.get(one) is not None
        kept.keep(two, decoded(100))
        kept.keep(one, decoded(500_000))
        assert kept.get(two) is kept.get(one) is None
        assert kept.get(three) is not None


def decoded(slots: int) -> Decoded:
    return Decoded(1, np.zeros(slots, np.uint16), np.zeros((slots, 1), np.uint8))


class TestCosines:
    async def test_are_inner_products_at_half_precision(self, db, tenant_id, other_tenant_id):
        made = [vector() for _ in range(50)]
        await put_bags(db, tenant_id, [{"x": 1.0}] * 50, [text for text, _ in made])
        await put_bags(db, other_tenant_id, [{"x": 1.0}] * 9)
        text, query = vector()
        async with db.tenant(tenant_id) as conn:
            found = dict(await search.cosines(conn, tenant_id, MODEL, text, range(100)))
            assert not await search.cosines(conn, tenant_id, "another/model@1", text, [0])
            assert not await search.cosines(conn, other_tenant_id, MODEL, text, [0])
        expected = {slot: float(values @ query) for slot, (_, values) in enumerate(made)}
        assert found == pytest.approx(expected, abs=1e-3)
        assert np.argmax(list(expected.values())) == max(found, key=lambda slot: found[slot])
