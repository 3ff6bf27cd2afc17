"""Writing the index: what the blocks hold after passages came, changed and went."""

import random
from uuid import UUID

import numpy as np
from harness.retrieval_index import MODEL, put_bags, vector
from retrieval.index import packing, writing
from retrieval.store import blocks
from retrieval.store import chunks as chunk_store

WORDS = [f"w{n}" for n in range(12)]


def bag(draw: random.Random) -> dict[str, float]:
    chosen = draw.sample(WORDS[1:], draw.randint(0, 7))
    return {w: float(draw.randint(1, 5)) for w in ["w0", *chosen]}


async def postings(db, tenant_id: UUID) -> dict[int, dict[str, int]]:
    """The terms with weights of each slot, as the blocks have them."""
    async with db.snapshot(tenant_id) as conn:
        found = await blocks.read(conn, tenant_id, WORDS)
    bags: dict[int, dict[str, int]] = {}
    for block in found.postings:
        slots, weights = packing.unpack_postings([block.postings])
        assert len(slots) > 0
        assert slots[0] >= block.first_slot
        for slot, weight in zip(slots, weights, strict=True):
            bags.setdefault(int(slot), {})[block.term] = int(weight)
    lengths = packing.read_lengths(found.lengths, found.stat.slot_count)
    assert set(np.flatnonzero(lengths)) == set(bags)
    assert all(lengths[slot] == sum(bag.values()) for slot, bag in bags.items())
    codes = packing.read_codes(found.codes, found.stat.slot_count)
    assert set(np.flatnonzero(codes.any(axis=1))) == set(bags)
    assert found.stat.chunk_count == len(bags)
    return bags


class TestReplaceDocument:
    async def test_leaves_exactly_the_documents_that_are_there(self, db, tenant_id):
        await put_bags(
            db, tenant_id, [], document_id=await put_bags(db, tenant_id, [{"w0": 1.0}] * 300)
        )
        draw = random.Random(3)
        documents: dict[UUID, list[dict[str, float]]] = {}
        text, _ = vector()
        for _ in range(60):
            known = draw.choice(list(documents)) if documents and draw.random() < 0.4 else None
            if known is not None and draw.random() < 0.5:
                async with db.tenant(tenant_id) as conn:
                    count, _ = await writing.remove_document(conn, tenant_id, known)
                assert count == len(documents.pop(known))
                continue
            bags = [bag(draw) for _ in range(draw.randint(20, 120))]
            documents[await put_bags(db, tenant_id, bags, [text] * len(bags), known)] = bags
        found = await postings(db, tenant_id)
        async with db.tenant(tenant_id) as conn:
            for document_id, bags in documents.items():
                slots = await chunk_store.slots_of_document(conn, tenant_id, document_id)
                assert sorted(map(str, (found[s] for s in slots))) == sorted(
                    str({w: int(n) for w, n in sorted(b.items())}) for b in bags
                )
            stat = await chunk_store.get_stat(conn, tenant_id)
        assert len(found) > packing.MAX_POSTINGS
        assert stat.slot_count < 2_000  # of more than 4,000 passages that were put in

    async def test_with_nothing_leaves_nothing(self, db, tenant_id, retrieval):
        document = await put_bags(db, tenant_id, [{"w1": 1.0, "w2": 2.0}] * 300)
        await put_bags(db, tenant_id, [], document_id=document)
        for table in ("posting_block", "chunk_embedding", "chunk"):
            assert not await retrieval.rows(f"select from {table}")
        assert await postings(db, tenant_id) == {}

    async def test_of_another_model_keeps_no_code_of_the_former(self, db, tenant_id):
        document = await put_bags(db, tenant_id, [{"w1": 1.0}], [vector()[0]])
        await put_bags(db, tenant_id, [{"w1": 1.0}], document_id=document, model="local/test@2")
        async with db.snapshot(tenant_id) as conn:
            now = await blocks.read(conn, tenant_id, [])
            found = {b.model: b.codes for b in await blocks.code_blocks_at(conn, tenant_id, [0])}
        assert now.stat.model == "local/test@2"
        assert packing.read_codes(now.codes, 1).any()
        assert not any(found[MODEL])
